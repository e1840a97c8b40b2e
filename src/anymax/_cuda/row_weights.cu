// Weights s(x) / sum s(x) of rows and their logarithms, forward and backward, for a choice of weight functions s.
#include "rows.cuh"

// What a row is like: the largest and the smallest cell, the largest magnitude, how many cells take part.
template <class F>
struct Peak {
  F high, low, size, count;
  bool bad;  // a cell has no weight: NaN, +inf, or outside the domain of s
};

// Parameters of s: (a, b) pairs of roots for Taylor polynomials.
template <class F>
struct Values {
  F a, b, c, d, e, f;
};

// ------------------------------------------------------------------------------------------- weight functions
// Made from a Peak. `weight` is scaled to be at most about 1, `log` is its logarithm without underflow, `slope` the
// logarithm's derivative, `rate` that of the normalised weight p, where weights are multiplied by `per` to be p.
template <class F>
AMX_DEVICE F tiny();
template <>
AMX_DEVICE float tiny<float>() {
  return 1.17549435e-38f;
}
template <>
AMX_DEVICE double tiny<double>() {
  return 2.2250738585072014e-308;
}
template <class F>
AMX_DEVICE F or_zero(F top) {
  return top == -infinity<F>() ? F(0) : top;
}
// log(u^2 + e^2) for e >= 0, without underflow.
template <class F>
AMX_DEVICE F log_hypot(F u, F e) {
  const F a = fabs(u);
  const bool big = !(a <= e);
  const F high = big ? a : e, low = big ? e : a;
  const F t = high == F(0) ? F(0) : low / high;
  return F(2) * log(high) + log1p(t * t);
}
// x / (x^2 + c) without overflow.
template <class F>
AMX_DEVICE F over(F x, F c) {
  return x == F(0) ? F(0) : F(1) / (x + c / x);
}

template <class F>
struct ExpWeight {
  F top;
  AMX_DEVICE ExpWeight(Peak<F> row, Values<F>) : top(or_zero(row.high)) {}
  AMX_DEVICE F log(F x) const { return x - top; }
  AMX_DEVICE F weight(F x) const { return exp(x - top); }
  AMX_DEVICE F slope(F) const { return F(1); }
  AMX_DEVICE F rate(F, F p, F) const { return p; }
};

template <class F>
struct SigsoftWeight {
  F top, below, tail;
  AMX_DEVICE SigsoftWeight(Peak<F> row, Values<F>) : top(or_zero(row.high)) {
    below = fmin(top, F(0));
    tail = log1p(exp(-fabs(top)));
  }
  AMX_DEVICE F log(F x) const { return (x - top) + (fmin(x, F(0)) - below) - (log1p(exp(-fabs(x))) - tail); }
  AMX_DEVICE F weight(F x) const { return exp(log(x)); }
  AMX_DEVICE F slope(F x) const {
    const F e = exp(-fabs(x));
    return F(1) + (x >= F(0) ? e : F(1)) / (F(1) + e);
  }
  AMX_DEVICE F rate(F x, F p, F) const { return p * slope(x); }
};

template <class F>
struct ScalableWeight {
  F top, factor;
  AMX_DEVICE ScalableWeight(Peak<F> row, Values<F> v) {
    factor = v.a * ::log(fmax(row.count, F(1))) + v.b;
    top = row.count == F(0) ? F(0) : factor >= F(0) ? row.high : row.low;
  }
  AMX_DEVICE F log(F x) const { return (x - top) * factor; }
  AMX_DEVICE F weight(F x) const { return exp(log(x)); }
  AMX_DEVICE F slope(F) const { return factor; }
  AMX_DEVICE F rate(F, F p, F) const { return p * factor; }
};

template <class F>
struct PowerWeight {
  F size, exponent;
  AMX_DEVICE PowerWeight(Peak<F> row, Values<F> v) : size(fmax(row.size, tiny<F>())), exponent(v.a) {}
  AMX_DEVICE F log(F x) const { return x == F(0) ? -infinity<F>() : ::log(x / size) * exponent; }
  AMX_DEVICE F weight(F x) const { return exponent == F(1) ? x / size : exp(log(x)); }
  AMX_DEVICE F slope(F x) const { return x == F(0) ? F(0) : exponent / x; }
  AMX_DEVICE F rate(F x, F p, F per) const { return exponent == F(1) ? per / size : p * slope(x); }
};

template <class F>
struct SphericalWeight {
  F size, root, eps;
  bool flat;  // zeros alone: every cell has the weight 1
  AMX_DEVICE SphericalWeight(Peak<F> row, Values<F> v) : eps(v.a) {
    flat = row.size == F(0) && eps == F(0);
    size = fmax(fmax(row.size, sqrt(eps)), tiny<F>());
    root = sqrt(eps) / size;
  }
  AMX_DEVICE F log(F x) const { return flat ? F(0) : log_hypot(x / size, root); }
  AMX_DEVICE F weight(F x) const {
    const F u = x / size;
    return flat ? F(1) : u * u + root * root;
  }
  AMX_DEVICE F slope(F x) const { return F(2) * over(x, eps); }
  AMX_DEVICE F rate(F x, F, F per) const { return F(2) * (x / size) / size * per; }
};

// A product of one to three terms (x - a)^2 + b^2; absent ones have b = 0.
template <class F>
struct TaylorWeight {
  F size;
  Values<F> v;
  AMX_DEVICE TaylorWeight(Peak<F> row, Values<F> roots) : size(fmax(row.size, F(1))), v(roots) {}
  AMX_DEVICE F square(F x, F a, F b) const {
    const F u = (x - a) / size, e = b / size;
    return u * u + e * e;
  }
  AMX_DEVICE F log(F x) const {
    F z = log_hypot((x - v.a) / size, v.b / size);
    if (v.d != F(0)) z += log_hypot((x - v.c) / size, v.d / size);
    if (v.f != F(0)) z += log_hypot((x - v.e) / size, v.f / size);
    return z;
  }
  AMX_DEVICE F weight(F x) const {
    F w = square(x, v.a, v.b);
    if (v.d != F(0)) w *= square(x, v.c, v.d);
    if (v.f != F(0)) w *= square(x, v.e, v.f);
    return w;
  }
  AMX_DEVICE F slope(F x) const {
    F s = over(x - v.a, v.b * v.b);
    if (v.d != F(0)) s += over(x - v.c, v.d * v.d);
    if (v.f != F(0)) s += over(x - v.e, v.f * v.f);
    return F(2) * s;
  }
  AMX_DEVICE F rate(F x, F p, F) const { return p * slope(x); }
};

template <class F>
struct StableWeight {
  F inverse, size;
  AMX_DEVICE StableWeight(Peak<F> row, Values<F>) {
    const F top = or_zero(row.high);
    inverse = top >= F(0) ? F(1) / (F(1) + top) : F(1) - top;
    size = top >= F(0) ? log1p(top) : -log1p(-top);
  }
  AMX_DEVICE F log(F x) const { return (x >= F(0) ? log1p(x) : -log1p(-x)) - size; }
  AMX_DEVICE F weight(F x) const {
    const F a = F(1) + fabs(x);
    return (x >= F(0) ? a : F(1) / a) * inverse;
  }
  AMX_DEVICE F slope(F x) const { return F(1) / (F(1) + fabs(x)); }
  AMX_DEVICE F rate(F x, F p, F) const { return p * slope(x); }
};

// The order of row_weights.py.
enum Kind : int { of_exp = 0, of_sigsoft, of_scalable, of_power, of_spherical, of_taylor, of_stable };

// Call `use` with the row's weight function. All threads of a row take the same branch.
template <class F, class Use>
AMX_DEVICE void with_weight(int kind, Peak<F> row, Values<F> v, Use use) {
  if (kind == of_exp) use(ExpWeight<F>(row, v));
  if (kind == of_sigsoft) use(SigsoftWeight<F>(row, v));
  if (kind == of_scalable) use(ScalableWeight<F>(row, v));
  if (kind == of_power) use(PowerWeight<F>(row, v));
  if (kind == of_spherical) use(SphericalWeight<F>(row, v));
  if (kind == of_taylor) use(TaylorWeight<F>(row, v));
  if (kind == of_stable) use(StableWeight<F>(row, v));
}

// ------------------------------------------------------------------------------------------------- the skeleton
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

// A row of logits. A cell that does not take part reads as -inf; so do all where the sink takes the whole row.
template <class T>
struct Cells {
  typedef wide<T> F;
  const T* row;
  const unsigned char* mask_row;
  i64 column;
  bool taken;

  template <int N>
  AMX_DEVICE void read(F (&z)[N], i64 i) const {
    const pack<T, N> x = load<N>(row + i);
#pragma unroll
    for (int j = 0; j < N; j++) {
      z[j] = takes_part(mask_row, column, i + j) && !taken ? widen(x.at[j]) : -infinity<F>();
    }
  }
};

template <int GROUP, int VEC, class T, class F = wide<T>>
AMX_DEVICE Peak<F> peak(Cells<T> cells, i64 cols, int kind) {
  F high = -infinity<F>(), least = -infinity<F>(), count = 0, bad = 0;  // least is minus the smallest
  walk<GROUP, VEC>(cells.row, cols, [&]<int N>(width<N>, i64 i) {
    F z[N];
    cells.read(z, i);
#pragma unroll
    for (int j = 0; j < N; j++) {
      const bool live = z[j] != -infinity<F>();
      high = fmax(high, z[j]);
      least = fmax(least, live ? -z[j] : -infinity<F>());
      count += live ? F(1) : F(0);
      const bool valid = z[j] < infinity<F>() && (kind != of_power || !(z[j] < F(0)));  // false for NaN
      bad = live && !valid ? F(1) : bad;
    }
  });
  high = group_max<GROUP>(high);
  least = group_max<GROUP>(least);
  count = group_sum<GROUP>(count);
  const F size = count == F(0) ? F(0) : fmax(high, least);
  return {high, -least, size, count, group_max<GROUP>(bad) > F(0)};
}

// The sink is one more term exp(sink) of the sum, for the exponential alone. Returns that term, scaled like the others.
template <class F>
AMX_DEVICE F sink_term(Peak<F>& row, const F* sinks, i64 r, bool taken) {
  if (!sinks || taken) return F(0);
  if (sinks[r] > row.high) row.high = sinks[r];
  return exp(sinks[r] - or_zero(row.high));
}

template <class T, int GROUP, int VEC, int BLOCK>
__global__ void __launch_bounds__(BLOCK, 512 / BLOCK)
    weights_forward(const T* __restrict__ x, i64 x_stride, const unsigned char* __restrict__ mask, i64 mask_outer,
                    i64 mask_middle, i64 mask_inner, i64 mask_middle_size, i64 mask_inner_size, i64 mask_column,
                    const wide<T>* __restrict__ sinks, T* __restrict__ y, i64 rows, i64 cols, wide<T> a, wide<T> b,
                    wide<T> c, wide<T> d, wide<T> e, wide<T> f, int kind, int logs) {
  typedef wide<T> F;
  const i64 r = row_of_group<GROUP>();
  if (r >= rows) return;
  const Mask masks = {mask, mask_outer, mask_middle, mask_inner, mask_middle_size, mask_inner_size, mask_column};
  const bool taken = sinks && sinks[r] == infinity<F>();
  const Cells<T> cells = {x + r * x_stride, masks.row(r), mask_column, taken};
  Peak<F> row = peak<GROUP, VEC>(cells, cols, kind);
  const F tail = sink_term(row, sinks, r, taken);
  T* out = y + r * cols;

  with_weight(kind, row, Values<F>{a, b, c, d, e, f}, [&](auto s) {
    F total = 0;
    walk<GROUP, VEC>(cells.row, cols, [&]<int N>(width<N>, i64 i) {
      F z[N];
      cells.read(z, i);
#pragma unroll
      for (int j = 0; j < N; j++) total += z[j] == -infinity<F>() ? F(0) : s.weight(z[j]);
    });
    total = group_sum<GROUP>(total) + tail;
    total = row.bad ? quiet_nan<F>() : total == F(0) ? F(1) : total;
    const F log_total = log(total);
    walk<GROUP, VEC>(cells.row, cols, [&]<int N>(width<N>, i64 i) {
      F z[N];
      cells.read(z, i);
      pack<T, N> result;
#pragma unroll
      for (int j = 0; j < N; j++) {
        const F gone = logs ? -infinity<F>() : F(0), z0 = z[j];
        result.at[j] = narrow<T>(z0 == -infinity<F>() ? gone : logs ? s.log(z0) - log_total : s.weight(z0) / total);
      }
      store(out + i, result);
    });
  });
}

// dx = ds/dx / total (g - sum p g), or (log s)' (g - p sum g); the sink receives -p_sink times the sum.
template <class T, int GROUP, int VEC, int BLOCK>
__global__ void __launch_bounds__(BLOCK, 512 / BLOCK)
    weights_backward(const T* __restrict__ x, i64 x_stride, const unsigned char* __restrict__ mask, i64 mask_outer,
                     i64 mask_middle, i64 mask_inner, i64 mask_middle_size, i64 mask_inner_size, i64 mask_column,
                     const wide<T>* __restrict__ sinks, const T* __restrict__ cotangent, T* __restrict__ dx,
                     wide<T>* __restrict__ dsinks, i64 rows, i64 cols, wide<T> a, wide<T> b, wide<T> c, wide<T> d,
                     wide<T> e, wide<T> f, int kind, int logs) {
  typedef wide<T> F;
  const i64 r = row_of_group<GROUP>();
  if (r >= rows) return;
  const Mask masks = {mask, mask_outer, mask_middle, mask_inner, mask_middle_size, mask_inner_size, mask_column};
  const bool taken = sinks && sinks[r] == infinity<F>();
  const Cells<T> cells = {x + r * x_stride, masks.row(r), mask_column, taken};
  const T* of_row = cotangent + r * cols;
  Peak<F> row = peak<GROUP, VEC>(cells, cols, kind);
  const F tail = sink_term(row, sinks, r, taken);
  T* out = dx + r * cols;

  with_weight(kind, row, Values<F>{a, b, c, d, e, f}, [&](auto s) {
    F total = 0, received = 0;
    const auto is_live = [&](F z) {
      return z != -infinity<F>() && (!logs || row.bad || s.log(z) != -infinity<F>());
    };
    walk<GROUP, VEC>(cells.row, cols, [&]<int N>(width<N>, i64 i) {
      F z[N];
      cells.read(z, i);
      const pack<T, N> g = load<N>(of_row + i);
#pragma unroll
      for (int j = 0; j < N; j++) {
        if (!is_live(z[j])) continue;  // where the logarithm is -inf the weight is 0
        const F weight = s.weight(z[j]);
        total += weight;
        received += logs ? widen(g.at[j]) : weight * widen(g.at[j]);
      }
    });
    total = group_sum<GROUP>(total) + tail;
    total = row.bad ? quiet_nan<F>() : total == F(0) ? F(1) : total;
    received = group_sum<GROUP>(received);
    if (!logs) received /= total;
    if (dsinks && lane_of_group<GROUP>() == 0) dsinks[r] = -(tail / total) * received;

    const F per = F(1) / total;
    walk<GROUP, VEC>(cells.row, cols, [&]<int N>(width<N>, i64 i) {
      F z[N];
      cells.read(z, i);
      const pack<T, N> g = load<N>(of_row + i);
      pack<T, N> result;
#pragma unroll
      for (int j = 0; j < N; j++) {
        F slope = 0;
        if (is_live(z[j])) {
          const F p = s.weight(z[j]) / total, up = widen(g.at[j]);
          slope = logs ? s.slope(z[j]) * (up - p * received) : s.rate(z[j], p, per) * (up - received);
        }
        result.at[j] = narrow<T>(slope);
      }
      store(out + i, result);
    });
  });
}
