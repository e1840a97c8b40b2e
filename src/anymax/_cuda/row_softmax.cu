// Softmax, log-softmax and logsumexp of rows of scale * x, forward and backward.
#include "rows.cuh"

enum Form : int { form_softmax = 0, form_log_softmax = 1, form_logsumexp = 2 };

// What the sums see: x, turned round for a negative scale so that |scale| does the rest, and -inf where masked.
template <int N, class T, class F = wide<T>>
AMX_DEVICE void masked_logits(F (&z)[N], const T* row, const unsigned char* mask_row, i64 column, bool turn, i64 i) {
  const pack<T, N> x = load<N>(row + i);
#pragma unroll
  for (int j = 0; j < N; j++) {
    const F value = widen(x.at[j]);
    z[j] = takes_part(mask_row, column, i + j) ? (turn ? -value : value) : -infinity<F>();
  }
}

// One pass over the row, then a second one, mostly from cache, that writes.
template <class T, int GROUP, int VEC, int BLOCK>
__global__ void __launch_bounds__(BLOCK, 768 / BLOCK)
    softmax_forward(const T* __restrict__ x, i64 x_stride, const unsigned char* __restrict__ mask, i64 mask_outer,
                    i64 mask_middle, i64 mask_inner, i64 mask_middle_size, i64 mask_inner_size, i64 mask_column,
                    T* __restrict__ y, i64 rows, i64 cols, wide<T> scale, int form) {
  typedef wide<T> F;
  const i64 r = row_of_group<GROUP>();
  if (r >= rows) return;
  const T* row = x + r * x_stride;
  const Mask masks = {mask, mask_outer, mask_middle, mask_inner, mask_middle_size, mask_inner_size, mask_column};
  const unsigned char* mask_row = masks.row(r);

  const bool turn = scale < F(0);
  const F size = turn ? -scale : scale;
  ExpSum<F> sum = ExpSum<F>::nothing();
  walk<GROUP, VEC>(row, cols, [&]<int N>(width<N>, i64 i) {
    F z[N];
    masked_logits(z, row, mask_row, mask_column, turn, i);
    sum.add(z, size);
  });
  const Normaliser<F> of_row(group_merge<GROUP>(sum, size), size);

  if (form == form_logsumexp) {
    if (lane_of_group<GROUP>() == 0) y[r] = narrow<T>(of_row.lse());
    return;
  }
  T* out = y + r * cols;
  walk<GROUP, VEC>(row, cols, [&]<int N>(width<N>, i64 i) {
    F z[N];
    masked_logits(z, row, mask_row, mask_column, turn, i);
    pack<T, N> result;
#pragma unroll
    for (int j = 0; j < N; j++) {
      result.at[j] = narrow<T>(form == form_softmax ? of_row.weight(z[j]) : of_row.log_weight(z[j]));
    }
    store(out + i, result);
  });
}

// dx = scale p (g - sum g p), or scale (g - p sum g) from log p. A weight of 0 has gradient 0 whatever g is.
template <class T, int GROUP, int VEC, int BLOCK>
__global__ void __launch_bounds__(BLOCK, 768 / BLOCK)
    softmax_backward(const T* __restrict__ saved, const T* __restrict__ cotangent, T* __restrict__ dx, i64 rows,
                     i64 cols, wide<T> scale, int form) {
  typedef wide<T> F;
  const i64 r = row_of_group<GROUP>();
  if (r >= rows) return;
  const T *row = saved + r * cols, *of_row = cotangent + r * cols;
  const bool is_log = form == form_log_softmax;
  const F gone = is_log ? -infinity<F>() : F(0);  // what a masked cell holds

  F sum = 0;
  walk<GROUP, VEC>(row, cols, [&]<int N>(width<N>, i64 i) {
    const pack<T, N> p = load<N>(row + i), g = load<N>(of_row + i);
#pragma unroll
    for (int j = 0; j < N; j++) {
      const F weight = widen(p.at[j]);
      if (weight != gone) sum += is_log ? widen(g.at[j]) : widen(g.at[j]) * weight;
    }
  });
  sum = group_sum<GROUP>(sum);

  T* out = dx + r * cols;
  walk<GROUP, VEC>(row, cols, [&]<int N>(width<N>, i64 i) {
    const pack<T, N> p = load<N>(row + i), g = load<N>(of_row + i);
    pack<T, N> result;
#pragma unroll
    for (int j = 0; j < N; j++) {
      const F weight = widen(p.at[j]), up = widen(g.at[j]);
      const F slope = is_log ? up - exp(weight) * sum : weight * (up - sum);
      result.at[j] = narrow<T>(weight == gone ? F(0) : scale * slope);
    }
    store(out + i, result);
  });
}

// dx = scale g p. The weights are formed again from x: a stored lse of 16 bits would spoil them.
template <class T, int GROUP, int VEC, int BLOCK>
__global__ void __launch_bounds__(BLOCK, 768 / BLOCK)
    logsumexp_backward(const T* __restrict__ x, i64 x_stride, const unsigned char* __restrict__ mask, i64 mask_outer,
                       i64 mask_middle, i64 mask_inner, i64 mask_middle_size, i64 mask_inner_size, i64 mask_column,
                       const T* __restrict__ cotangent, T* __restrict__ dx, i64 rows, i64 cols, wide<T> scale) {
  typedef wide<T> F;
  const i64 r = row_of_group<GROUP>();
  if (r >= rows) return;
  const T* row = x + r * x_stride;
  const Mask masks = {mask, mask_outer, mask_middle, mask_inner, mask_middle_size, mask_inner_size, mask_column};
  const unsigned char* mask_row = masks.row(r);

  const bool turn = scale < F(0);
  const F size = turn ? -scale : scale;
  ExpSum<F> sum = ExpSum<F>::nothing();
  walk<GROUP, VEC>(row, cols, [&]<int N>(width<N>, i64 i) {
    F z[N];
    masked_logits(z, row, mask_row, mask_column, turn, i);
    sum.add(z, size);
  });
  const Normaliser<F> of_row(group_merge<GROUP>(sum, size), size);

  const F slope = scale * widen(cotangent[r]);
  T* out = dx + r * cols;
  walk<GROUP, VEC>(row, cols, [&]<int N>(width<N>, i64 i) {
    F z[N];
    masked_logits(z, row, mask_row, mask_column, turn, i);
    pack<T, N> result;
#pragma unroll
    for (int j = 0; j < N; j++) {
      // A masked cell gets 0 even where the cotangent is NaN.
      result.at[j] = narrow<T>(z[j] == -infinity<F>() ? F(0) : slope * of_row.weight(z[j]));
    }
    store(out + i, result);
  });
}
