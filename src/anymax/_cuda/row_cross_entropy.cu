// Cross entropy of rows of logits, classes last: loss, gradient, or both in one launch.
//
//   y = softcap tanh(x / softcap) or x;  l = sum_c w_c t_c (lse - y_c) + lse_square_scale lse^2;  loss = row_scale l
//
// t is a one-hot or a given distribution, smoothed over the classes that the mask leaves. dx is written when asked
// for; so are loss and lse. A backward launch gets the saved lse and then reads x once.
#include "rows.cuh"

template <class T, class F = wide<T>>
struct Logits {
  const T* row;
  const unsigned char* mask_row;
  i64 mask_column;
  F softcap;  // 0: none

  AMX_DEVICE bool allowed(i64 i) const { return takes_part(mask_row, mask_column, i); }
  AMX_DEVICE F capped(T x) const {
    const F value = widen(x);
    return softcap == F(0) || value == -infinity<F>() ? value : softcap * tanh(value / softcap);
  }
  AMX_DEVICE F slope(F y) const {
    const F t = y / softcap;
    return softcap == F(0) ? F(1) : F(1) - t * t;
  }
  AMX_DEVICE F at(i64 i) const { return allowed(i) ? capped(row[i]) : -infinity<F>(); }
  template <int N>
  AMX_DEVICE void read(F (&y)[N], i64 i) const {
    const pack<T, N> x = load<N>(row + i);
#pragma unroll
    for (int j = 0; j < N; j++) y[j] = allowed(i + j) ? capped(x.at[j]) : -infinity<F>();
  }
};

// w_c t_c of one row.
template <class T, class F = wide<T>>
struct Target {
  i64 label;       // used without probabilities
  const T* given;  // probabilities, or null
  const F* weight;  // class weights, or null
  F sharpness, share;  // 1 - e, and e over the number of classes that take part

  AMX_DEVICE F at(i64 c, bool allowed) const {
    const F t = given ? widen(given[c]) : c == label ? F(1) : F(0);
    const F smooth = sharpness * t + (allowed ? share : F(0));
    return weight ? weight[c] * smooth : smooth;
  }
};

// Sums over one row that the loss and its gradient need besides lse.
template <class F>
struct TargetSums {
  F total;     // sum of w t
  F distance;  // sum of w t (base - y) over kept classes
  F hopeless;  // > 0: some class with w t > 0 is masked or -inf, so the loss is +inf
};

template <int GROUP, int VEC, class T, class F>
AMX_DEVICE TargetSums<F> target_sums(const Logits<T>& logits, const Target<T>& target, i64 cols, F base,
                                     bool one_label) {
  TargetSums<F> sums = {F(0), F(0), F(0)};
  auto add = [&](F y, i64 c) {
    const F t = target.at(c, logits.allowed(c));
    sums.total += t;
    if (y != -infinity<F>()) sums.distance += t * (base - y);
    else if (t > F(0)) sums.hopeless = F(1);
  };
  if (one_label) {
    if (target.label >= 0 && target.label < cols) add(logits.at(target.label), target.label);
    else sums.total = quiet_nan<F>();
    return sums;
  }
  walk<GROUP, VEC>(logits.row, cols, [&]<int N>(width<N>, i64 i) {
    F y[N];
    logits.read(y, i);
#pragma unroll
    for (int j = 0; j < N; j++) add(y[j], i + j);
  });
  return {group_sum<GROUP>(sums.total), group_sum<GROUP>(sums.distance), group_sum<GROUP>(sums.hopeless)};
}

template <int GROUP, int VEC, class T, class F = wide<T>>
AMX_DEVICE ExpSum<F> exp_sum(const Logits<T>& logits, i64 cols) {
  ExpSum<F> sum = ExpSum<F>::nothing();
  walk<GROUP, VEC>(logits.row, cols, [&]<int N>(width<N>, i64 i) {
    F y[N];
    logits.read(y, i);
    sum.add(y, F(1));
  });
  return group_merge<GROUP>(sum, F(1));
}

template <int GROUP, class T, class F = wide<T>>
AMX_DEVICE F classes_that_take_part(const Logits<T>& logits, i64 cols) {
  if (!logits.mask_row) return F(cols);
  F count = 0;
  for (i64 i = lane_of_group<GROUP>(); i < cols; i += GROUP) count += logits.allowed(i) ? F(1) : F(0);
  return group_sum<GROUP>(count);
}

template <class T, int GROUP, int VEC, int BLOCK>
__global__ void __launch_bounds__(BLOCK, 512 / BLOCK)
    cross_entropy(const T* __restrict__ x, i64 x_stride, const unsigned char* __restrict__ mask, i64 mask_outer,
                  i64 mask_middle, i64 mask_inner, i64 mask_middle_size, i64 mask_inner_size, i64 mask_column,
                  const i64* __restrict__ labels, const T* __restrict__ probabilities,
                  const wide<T>* __restrict__ weight, const wide<T>* __restrict__ row_scale,
                  const wide<T>* __restrict__ loss_cotangent, const wide<T>* __restrict__ lse_cotangent,
                  wide<T>* __restrict__ loss, wide<T>* __restrict__ lse, T* __restrict__ dx, i64 rows, i64 cols, wide<T> constant_cotangent, wide<T> smoothing,
                  wide<T> lse_square_scale, wide<T> softcap) {
  typedef wide<T> F;
  const i64 r = row_of_group<GROUP>();
  if (r >= rows) return;
  const Mask masks = {mask, mask_outer, mask_middle, mask_inner, mask_middle_size, mask_inner_size, mask_column};
  const Logits<T> logits = {x + r * x_stride, masks.row(r), mask_column, softcap};

  // The normaliser: weight(y) = exp(y - base) * inverse.
  const Normaliser<F> of_row(exp_sum<GROUP, VEC>(logits, cols), F(1));
  const F row_lse = of_row.lse(), base = of_row.base, inverse = of_row.inverse;
  const bool is_empty = row_lse == -infinity<F>();

  const T* given = probabilities ? probabilities + r * cols : nullptr;
  F share = 0;
  if (smoothing != F(0)) share = smoothing / fmax(classes_that_take_part<GROUP>(logits, cols), F(1));
  const Target<T> target = {given ? i64(0) : labels[r], given, weight, F(1) - smoothing, share};
  const bool one_label = !given && smoothing == F(0);
  const TargetSums<F> sums = target_sums<GROUP, VEC>(logits, target, cols, base, one_label);
  const F of_loss = row_scale ? row_scale[r] : F(1);

  if (loss && lane_of_group<GROUP>() == 0) {
    F value = sums.total * of_row.log_mass + sums.distance;
    if (sums.hopeless > F(0)) value += infinity<F>();
    if (lse_square_scale != F(0)) value += lse_square_scale * row_lse * row_lse;
    loss[r] = is_empty || of_loss == F(0) ? F(0) : of_loss * value;
    lse[r] = row_lse;
  }
  if (!dx) return;

  // dx = dy/dx (a p - g w t); a row that does not count has g = 0 whatever it holds.
  const F up = loss_cotangent ? loss_cotangent[r] : constant_cotangent;
  const F g = of_loss == F(0) ? F(0) : up * of_loss, from_lse = lse_cotangent ? lse_cotangent[r] : F(0);
  const F a = g == F(0) ? from_lse : g * (sums.total + F(2) * lse_square_scale * row_lse) + from_lse;
  const bool is_dead = g == F(0) && from_lse == F(0);
  T* out = dx + r * cols;
  walk<GROUP, VEC>(logits.row, cols, [&]<int N>(width<N>, i64 i) {
    F y[N];
    logits.read(y, i);
    pack<T, N> result;
#pragma unroll
    for (int j = 0; j < N; j++) {
      const F p = exp(y[j] - base) * inverse;
      const F t = g == F(0) ? F(0) : g * target.at(i + j, logits.allowed(i + j));
      const bool is_kept = y[j] != -infinity<F>();
      result.at[j] = narrow<T>(is_kept && !is_dead ? (a * p - t) * logits.slope(y[j]) : F(0));
    }
    store(out + i, result);
  });
}
