// rows.cuh -- a row walked by a group of GROUP threads (32: a warp, several rows a block; more: the whole block),
// in aligned packs of up to VEC numbers, and what softmax rows are made of.
#include "device.cuh"

// ------------------------------------------------------------------------------------------------ who does what
template <int GROUP>
AMX_DEVICE i64 row_of_group() {
  return GROUP == 32 ? blockIdx.x * i64(blockDim.x / 32) + threadIdx.x / 32 : blockIdx.x;
}
template <int GROUP>
AMX_DEVICE int lane_of_group() {
  return int(threadIdx.x) % GROUP;
}

template <int N>
struct width {};

// Visit every index below `size` once: visit(width<N>, i) stands for i ... i + N - 1. Packs start where `row + i` is a
// multiple of the pack's size; numbers before the first pack and after the last are visited alone. A visitor may use pack loads and stores
// on other rows too if those are equally misaligned, which the launch code makes sure of.
template <int GROUP, int VEC, class T, class Visit>
AMX_DEVICE void walk(const T* row, i64 size, Visit visit) {
  const int lane = lane_of_group<GROUP>();
  const int past = int(reinterpret_cast<unsigned long long>(row) / sizeof(T) % VEC);
  const i64 lead = min(i64((VEC - past) % VEC), size), packs = (size - lead) / VEC, body_end = lead + packs * VEC;
  for (i64 i = lane; i < packs; i += GROUP) visit(width<VEC>(), lead + i * VEC);
  if (VEC > 1) {  // fewer than 2 VEC <= GROUP numbers are left: one for each of the first threads
    const i64 i = lane < lead ? lane : body_end + lane - lead;
    if (i < size) visit(width<1>(), i);
  }
}

template <int N, class T>
AMX_DEVICE pack<T, N> load(const T* at) {
  return *reinterpret_cast<const pack<T, N>*>(at);
}
template <class T, int N>
AMX_DEVICE void store(T* at, const pack<T, N>& values) {
  *reinterpret_cast<pack<T, N>*>(at) = values;
}

// ----------------------------------------------------------------------------------------------------- masks
// A boolean array broadcast against the rows: three strides over the row number, one over the column.
struct Mask {
  const unsigned char* start;  // null: everything takes part
  i64 outer, middle, inner, middle_size, inner_size, column;

  AMX_DEVICE const unsigned char* row(i64 r) const {
    if (!start) return start;
    const i64 rest = r / inner_size;
    return start + rest / middle_size * outer + rest % middle_size * middle + r % inner_size * inner;
  }
};
AMX_DEVICE bool takes_part(const unsigned char* mask_row, i64 column, i64 i) {
  return !mask_row || mask_row[i * column];
}

// --------------------------------------------------------------------------------------- reductions over a group
// Combine one value per thread; every thread gets the result. `combine` is associative, the order is fixed.
template <int GROUP, class V, class Combine>
AMX_DEVICE V group_reduce(V mine, V neutral, Combine combine) {
  V all = combine.over_warp(mine);
  if (GROUP == 32) return all;
  __shared__ V of_warp[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  __syncthreads();  // an earlier reduction may still be reading
  if (lane == 0) of_warp[warp] = all;
  __syncthreads();
  return combine.over_warp(lane < GROUP / 32 ? of_warp[lane] : neutral);
}

struct Add {
  template <class F>
  AMX_DEVICE F over_warp(F x) const {
    return warp_sum(x);
  }
};
template <int GROUP, class F>
AMX_DEVICE F group_sum(F x) {
  return group_reduce<GROUP>(x, F(0), Add());
}

// ------------------------------------------------------------------------------------- sums of exponentials
// (count + rest) * exp(scale * top) is the sum of exp(scale * z), for scale >= 0: count logits equal the largest one,
// all others are in rest. Kept apart, log1p loses no digit when rest is small. A masked logit is replaced by -inf,
// which does not take part. top is never NaN: a NaN shows in rest, and +inf in top.
template <class F>
struct ExpSum {
  F top, count, rest;

  AMX_DEVICE static ExpSum nothing() { return {-infinity<F>(), F(0), F(0)}; }
  AMX_DEVICE static F weight(F z, F base, F scale) { return z == -infinity<F>() ? F(0) : exp((z - base) * scale); }

  AMX_DEVICE F base() const { return top == -infinity<F>() ? F(0) : top; }
  AMX_DEVICE F mass() const { return count + rest; }
  AMX_DEVICE bool is_empty() const { return mass() == F(0); }

  // Make `higher` the top.
  AMX_DEVICE void raise(F higher, F scale) {
    if (!(higher > top)) return;
    rest = mass() * weight(top, higher, scale);
    count = 0;
    top = higher;
  }

  template <int N>
  AMX_DEVICE void add(const F (&z)[N], F scale) {
    F highest = z[0];
#pragma unroll
    for (int j = 1; j < N; j++) highest = fmax(highest, z[j]);
    raise(highest, scale);
    const F from = base();
#pragma unroll
    for (int j = 0; j < N; j++) {
      const bool is_top = z[j] == top && top != -infinity<F>();
      count += is_top ? F(1) : F(0);
      rest += is_top ? F(0) : weight(z[j], from, scale);
    }
  }

  AMX_DEVICE static ExpSum merge(ExpSum a, ExpSum b, F scale) {
    a.raise(b.top, scale);
    b.raise(a.top, scale);
    return {a.top, a.count + b.count, a.rest + b.rest};
  }
};

template <class F>
struct MergeExpSums {
  F scale;

  AMX_DEVICE ExpSum<F> over_warp(ExpSum<F> x) const {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
      const ExpSum<F> other = {__shfl_xor_sync(AMX_FULL_WARP, x.top, step),
                               __shfl_xor_sync(AMX_FULL_WARP, x.count, step),
                               __shfl_xor_sync(AMX_FULL_WARP, x.rest, step)};
      x = ExpSum<F>::merge(x, other, scale);
    }
    return x;
  }
};
template <int GROUP, class F>
AMX_DEVICE ExpSum<F> group_merge(ExpSum<F> x, F scale) {
  return group_reduce<GROUP>(x, ExpSum<F>::nothing(), MergeExpSums<F>{scale});
}

// A finished sum, ready to turn logits into weights. A +inf that takes part makes all weights NaN, and lse +inf.
template <class F>
struct Normaliser {
  F scale, base, inverse, log_mass;
  bool is_empty, overflown, holds_nan;

  AMX_DEVICE Normaliser(ExpSum<F> sum, F of) : scale(of), base(sum.base()) {
    is_empty = sum.is_empty();
    overflown = sum.top == infinity<F>();
    holds_nan = sum.rest != sum.rest;
    inverse = overflown ? quiet_nan<F>() : is_empty ? F(0) : F(1) / sum.mass();
    log_mass = overflown ? quiet_nan<F>() : log(sum.count) + log1p(sum.rest / sum.count);
  }
  AMX_DEVICE F lse() const {
    if (is_empty) return -infinity<F>();
    return overflown && !holds_nan ? infinity<F>() : base * scale + log_mass;
  }
  AMX_DEVICE F weight(F z) const { return z == -infinity<F>() ? F(0) : exp((z - base) * scale) * inverse; }
  AMX_DEVICE F log_weight(F z) const { return z == -infinity<F>() ? z : (z - base) * scale - log_mass; }
};
