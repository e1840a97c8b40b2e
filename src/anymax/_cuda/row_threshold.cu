// Maps of rows with a threshold, phi(z - tau) with the tau at which they sum to what they should, and gradients.
// Newton's method, safeguarded by a bracket; each thread keeps its cells in shared memory where they fit.
#include "rows.cuh"

// The order of row_threshold.py.
enum Kind : int { of_entmax = 0, of_normmax, of_budget, of_sigmoid, of_log_sigmoid };

template <class F>
AMX_DEVICE F epsilon();
template <>
AMX_DEVICE float epsilon<float>() {
  return 1.1920929e-7f;
}
template <>
AMX_DEVICE double epsilon<double>() {
  return 2.220446049250313e-16;
}

// --------------------------------------------------------------------------------------------------- phi
// A weight as rest + ones, so that weights near 1 don't drown those near 0, and its slope.
template <class F>
struct Terms {
  F rest, ones, slope;
};

// [1 + d u]_+ ** (1 / d), exp(u) for d = 0.
template <class F>
struct Power {
  F d;
  AMX_DEVICE F above(F u) const { return F(1) + d * u; }
  AMX_DEVICE Terms<F> operator()(F u) const {
    const F w = above(u);
    if (!(w > F(0))) return {F(0), F(0), F(0)};
    if (d == F(1)) return {w, F(0), F(1)};
    if (d == F(0.5)) return {w * w, F(0), w};
    const F p = exp(d == F(0) ? u : log1p(d * u) / d);
    return {p, F(0), p / w};
  }
};

// u clipped to [0, 1].
template <class F>
struct Clip {
  AMX_DEVICE Terms<F> operator()(F u) const {
    const bool inside = u > F(0) && u < F(1);
    return {inside ? u : F(0), u >= F(1) ? F(1) : F(0), inside ? F(1) : F(0)};
  }
};

template <class F>
struct Sigmoid {
  AMX_DEVICE Terms<F> operator()(F u) const {
    const F e = exp(-fabs(u)), p = e / (F(1) + e);
    return {u >= F(0) ? -p : p, u >= F(0) ? F(1) : F(0), p * (F(1) - p)};
  }
};

// -------------------------------------------------------------------------------------------- the row, its sums
template <class T>
struct Row {
  typedef wide<T> F;
  const T* x;
  const unsigned char* mask;
  i64 column, cols;
  F* kept;  // shared memory, or null: read x again
  F top, scale;

  AMX_DEVICE F logit(i64 i) const { return takes_part(mask, column, i) ? widen(x[i]) : -infinity<F>(); }
  AMX_DEVICE F shifted(F x0) const { return x0 == -infinity<F>() ? x0 : (x0 - top) * scale; }
  AMX_DEVICE F cell(i64 i) const { return kept ? kept[i] : shifted(logit(i)); }
};

// A thread visits the same cells each time, so shared memory needs no barrier.
template <int GROUP, class Visit>
AMX_DEVICE void each(i64 cols, Visit visit) {
  for (i64 i = lane_of_group<GROUP>(); i < cols; i += GROUP) visit(i);
}

template <int GROUP, class T, class Phi, class F = wide<T>>
AMX_DEVICE Terms<F> sums(const Row<T>& row, F t, F r, Phi phi) {
  Terms<F> all = {F(0), F(0), F(0)};
  each<GROUP>(row.cols, [&](i64 i) {
    const F z = row.cell(i);
    if (z == -infinity<F>()) return;
    const Terms<F> one = phi((z - t) - r);
    all.rest += one.rest;
    all.ones += one.ones;
    all.slope += one.slope;
  });
  return {group_sum<GROUP>(all.rest), group_sum<GROUP>(all.ones), group_sum<GROUP>(all.slope)};
}

// ----------------------------------------------------------------------------------------------- thresholds
// All threads of a row hold equal numbers, and so decide alike.
enum : int { most_steps = 100 };

// From the left on the norm of the weights, which for d <= 1 is convex; d = 1 is exact for the cells found alive.
template <int GROUP, class T, class F = wide<T>>
AMX_DEVICE F power_threshold(const Row<T>& row, F count, F d) {
  const Power<F> phi = {d};
  const F log_n = log(count);
  F lo = 0, hi = d > F(0) ? -expm1(-d * log_n) / d : log_n, t = 0, last = infinity<F>(), before = -1;
  for (int step_number = 0; step_number < most_steps; step_number++) {
    const Terms<F> s = sums<GROUP>(row, t, F(0), phi);
    if (d == F(1)) {
      if (s.slope == before) break;
      t += (s.rest - F(1)) / s.slope;
      before = s.slope;
      continue;
    }
    if (s.rest >= F(1)) {
      lo = t;
    } else {
      hi = t;
    }
    const F log_s = log(s.rest), step = (d > F(0) ? expm1(d * log_s) / d : log_s) * exp((F(1) - d) * log_s) / s.slope;
    F next = t + step;
    if (!(lo <= next && next <= hi) || (d > F(1) && fabs(step) > F(0.5) * last)) next = F(0.5) * (lo + hi);
    last = fabs(next - t);
    t = next;
    const F close = epsilon<F>() * (F(1) + t);
    if (last <= close && (d <= F(1) || hi - lo <= close || fabs(s.rest - F(1)) <= F(8) * epsilon<F>())) break;
  }
  return t;
}

// In two parts: what is left after the first keeps its digits however large the logits are.
template <int GROUP, class T, class Phi, class F = wide<T>>
AMX_DEVICE void bounded_threshold(const Row<T>& row, F goal, F low, F shift, Phi phi, F& t, F& rest) {
  F lo = low - shift, hi = -shift, last = infinity<F>();
  t = F(0.5) * (lo + hi);
  for (int step_number = 0; step_number < most_steps; step_number++) {
    const Terms<F> s = sums<GROUP>(row, t, F(0), phi);
    const F value = (s.ones - goal) + s.rest, before = t, p = s.ones + s.rest;
    if (value == F(0)) break;
    if (value > F(0)) {
      lo = t;
    } else {
      hi = t;
    }
    F step = value / s.slope;
    // Tails of sigmoids are straight in the logarithm.
    if (value < F(0) && F(0) < p && p < F(0.9) * goal) step = log(p / goal) * p / s.slope;
    t = before + step;
    if (!(lo <= t && t <= hi) || !(fabs(step) <= last)) {
      t = F(0.5) * (lo + hi);
      last = infinity<F>();
    } else {
      last = F(0.75) * fabs(step);
    }
    if (fabs(t - before) <= F(4) * epsilon<F>() * (F(1) + fabs(t))) break;
  }
  rest = 0;
  for (int polish = 0; polish < 2; polish++) {
    const Terms<F> s = sums<GROUP>(row, t, rest, phi);
    const F step = ((s.ones - goal) + s.rest) / s.slope;
    if (fabs(step) <= F(1) + F(16) * epsilon<F>() * fabs(t)) rest += step;  // else the sum is flat here
  }
}

// -------------------------------------------------------------------------------------------------- forward
struct Most {
  template <class F>
  AMX_DEVICE F over_warp(F x) const {
    return warp_max(x);
  }
};
template <int GROUP, class F>
AMX_DEVICE F group_max(F x) {
  return group_reduce<GROUP>(x, -infinity<F>(), Most());
}

template <int GROUP, class T, class Value, class F = wide<T>>
AMX_DEVICE void write(const Row<T>& row, T* out, F gone, Value value) {
  each<GROUP>(row.cols, [&](i64 i) {
    const F z = row.cell(i);
    out[i] = narrow<T>(z == -infinity<F>() ? gone : value(z));
  });
}

template <class T, int GROUP, int VEC, int BLOCK>
__global__ void __launch_bounds__(BLOCK, 512 / BLOCK)
    threshold_forward(const T* __restrict__ x, i64 x_stride, const unsigned char* __restrict__ mask, i64 mask_outer,
                      i64 mask_middle, i64 mask_inner, i64 mask_middle_size, i64 mask_inner_size, i64 mask_column,
                      const wide<T>* __restrict__ parameters, T* __restrict__ y, i64 rows, i64 cols, wide<T> value,
                      wide<T> scale, int kind, int in_shared) {
  typedef wide<T> F;
  AMX_DYNAMIC_SHARED(F, shared);
  const i64 r = row_of_group<GROUP>();
  if (r >= rows) return;
  const Mask masks = {mask, mask_outer, mask_middle, mask_inner, mask_middle_size, mask_inner_size, mask_column};
  Row<T> row = {x + r * x_stride, masks.row(r), mask_column, cols, nullptr, F(0), scale};
  const F a = parameters ? parameters[r] : value;
  T* out = y + r * cols;

  F top = -infinity<F>(), least = top, count = 0, bad = 0;  // least is minus the smallest
  each<GROUP>(cols, [&](i64 i) {
    const F z = row.logit(i);
    if (z == -infinity<F>()) return;
    top = fmax(top, z);
    least = fmax(least, -z);
    count += F(1);
    if (!(z < infinity<F>())) bad = F(1);
  });
  top = group_max<GROUP>(top);
  least = group_max<GROUP>(least);
  count = group_sum<GROUP>(count);
  const F gone = kind == of_log_sigmoid ? -infinity<F>() : F(0);
  if (group_max<GROUP>(bad) > F(0) || count == F(0)) {
    write<GROUP>(row, out, gone, [&](F) { return quiet_nan<F>(); });
    return;
  }
  row.top = top;
  const F d = kind == of_normmax ? F(1) - F(1) / a : a - F(1);
  if (kind == of_normmax) row.scale = scale / d;
  if (in_shared) {
    F* mine = shared + (GROUP == 32 ? threadIdx.x / 32 * cols : 0);
    each<GROUP>(cols, [&](i64 i) { mine[i] = row.shifted(row.logit(i)); });
    row.kept = mine;
  }

  if (kind == of_entmax || kind == of_normmax) {
    const Power<F> phi = {d};
    const F t = power_threshold<GROUP>(row, count, d);
    const Terms<F> s = sums<GROUP>(row, t, F(0), phi);  // the last step
    const F rest = (s.rest - F(1)) / s.slope, last = fabs(rest) < F(1e-2) ? rest : F(0);
    if (kind == of_entmax) {
      write<GROUP>(row, out, gone, [&](F z) { return phi((z - t) - last).rest; });
      return;
    }
    const F power = F(1) / (a - F(1));
    const auto weight = [&](F z) {
      const F y = d * ((z - t) - last);
      return y > F(-1) ? exp(log1p(y) * power) : F(0);
    };
    F total = 0;
    each<GROUP>(cols, [&](i64 i) {
      const F z = row.cell(i);
      if (z != -infinity<F>()) total += weight(z);
    });
    total = group_sum<GROUP>(total);
    write<GROUP>(row, out, gone, [&](F z) { return weight(z) / total; });
    return;
  }

  if (!(a > F(0) && a < count)) {
    write<GROUP>(row, out, gone, [&](F) { return a <= F(0) ? gone : F(kind != of_log_sigmoid); });
    return;
  }
  const F low = (-least - top) * scale;
  F t, rest;
  if (kind == of_budget) {
    const Clip<F> phi;
    bounded_threshold<GROUP>(row, a, low, a / count, phi, t, rest);
    write<GROUP>(row, out, gone, [&](F z) { return fmin(fmax((z - t) - rest, F(0)), F(1)); });
    return;
  }
  const Sigmoid<F> phi;
  bounded_threshold<GROUP>(row, a, low, log(a) - log(count - a), phi, t, rest);
  write<GROUP>(row, out, gone, [&](F z) {
    const F u = (z - t) - rest, e = exp(-fabs(u));
    if (kind == of_log_sigmoid) return fmin(u, F(0)) - log1p(e);
    return (u >= F(0) ? F(1) : e) / (F(1) + e);
  });
}

// ------------------------------------------------------------------------------------------------- backward
// p ** e for p > 0.
template <class F>
AMX_DEVICE F power_of(F p, F e) {
  return e == F(0) ? F(1) : e == F(1) ? p : e == F(0.5) ? sqrt(p) : exp(log(p) * e);
}

// From the weights alone: c (b (g - mean) - p spread) with b the slope of each weight; q (g - p mean) for logarithms.
template <class T, int GROUP, int VEC, int BLOCK>
__global__ void __launch_bounds__(BLOCK, 512 / BLOCK)
    threshold_backward(const T* __restrict__ saved, const wide<T>* __restrict__ parameters,
                       const T* __restrict__ cotangent, T* __restrict__ dx, i64 rows, i64 cols, wide<T> value,
                       wide<T> scale, int kind) {
  typedef wide<T> F;
  const i64 r = row_of_group<GROUP>();
  if (r >= rows) return;
  const T *row = saved + r * cols, *of_row = cotangent + r * cols;
  const F a = parameters ? parameters[r] : value;
  const bool is_log = kind == of_log_sigmoid;

  // The slope of a weight; 0 where it does not move, NaN among them.
  const auto slope = [&](F y) {
    if (is_log) return y > -infinity<F>() ? exp(y) * -expm1(y) : F(0);
    if (!(y > F(0))) return F(0);
    if (kind == of_sigmoid) return y * (F(1) - y);
    if (kind == of_budget) return y < F(1) ? F(1) : F(0);
    return power_of(y, F(2) - a);
  };
  F slopes = 0, pulls = 0, received = 0, norm = 0;
  each<GROUP>(cols, [&](i64 i) {
    const F y = widen(row[i]), g = widen(of_row[i]);
    if (!(y > (is_log ? -infinity<F>() : F(0)))) return;
    const F b = slope(y);
    slopes += b;
    if (is_log) {
      pulls += -expm1(y) * g;
    } else if (b != F(0)) {
      pulls += b * g;
    }
    if (kind == of_normmax) {
      received += y * g;
      norm += power_of(y, a);
    }
  });
  slopes = group_sum<GROUP>(slopes);
  pulls = group_sum<GROUP>(pulls);
  F factor = 1, spread = 0, mean = slopes == F(0) ? F(0) : pulls / slopes;
  if (kind == of_normmax) {
    mean = group_sum<GROUP>(received);
    norm = group_sum<GROUP>(norm);
    factor = norm > F(0) ? power_of(norm, F(1) - F(1) / a) / (a - F(1)) : F(0);
    spread = pulls - mean * slopes;
  }
  T* out = dx + r * cols;
  each<GROUP>(cols, [&](i64 i) {
    const F y = widen(row[i]), g = widen(of_row[i]), b = slope(y);
    F pull = 0;
    if (is_log) {
      // b / slopes is at most 1, where the mean itself may overflow
      if (y > -infinity<F>()) pull = -expm1(y) * g - (b > F(0) ? b / slopes * pulls : F(0));
    } else if (b != F(0)) {
      pull = factor * (b * (g - mean) - y * spread);
    }
    out[i] = narrow<T>(scale * pull);
  });
}
