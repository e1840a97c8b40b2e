// attend_rows.cu -- the small kernels around attention: marks of rows that are not finite, what the backward passes need
// of every query, and sums over the axes that an operand was broadcast along.
#include "attend.cuh"

constexpr int ROWS_THREADS = 256;

template <class T>
AMX_DEVICE bool has_bad(const T* row, i64 step, int width) {
  bool bad = false;
  for (int d = threadIdx.x & 31; d < width; d += 32)
    bad |= !(fabs(widen(row[d * step])) < infinity<wide<T>>());  // NaN compares false
  return bad;
}

// One word (32 rows) a warp: first all words of q, then all of k with v.
template <class T>
__global__ void __launch_bounds__(ROWS_THREADS)
    attend_marks(const T* q_data, const T* k_data, const T* v_data, unsigned* q_marks, unsigned* k_marks, i64 batch,
                 ATTEND_PLAN_PARAMS) {
  const Plan plan = ATTEND_PLAN;
  const i64 k_heads = plan.heads / plan.group;
  const i64 q_words = batch * plan.heads * words_of(plan.rows), k_words = batch * k_heads * words_of(plan.cols);
  i64 word = i64(blockIdx.x) * (ROWS_THREADS / 32) + (threadIdx.x >> 5);
  if (word >= q_words + k_words) return;
  const bool for_q = word < q_words;
  word -= for_q ? 0 : q_words;
  const int per_head = words_of(for_q ? plan.rows : plan.cols), heads_here = int(for_q ? plan.heads : k_heads);
  const i64 place = word / per_head;
  const int head = int(place % heads_here), first = int(word % per_head) * 32;
  const int count = min(32, int((for_q ? plan.rows : plan.cols) - first));
  const Entry entry = entry_of(plan, unsigned(place / heads_here), nullptr, nullptr);
  u32 marks = 0;
  for (int r = 0; r < count; ++r) {
    bool bad;
    if (for_q) {
      bad = has_bad(q_data + entry.at(plan.q, head) + (first + r) * plan.q.i, plan.q.j, int(plan.depth));
    } else {
      bad = has_bad(k_data + entry.at(plan.k, head) + (first + r) * plan.k.i, plan.k.j, int(plan.depth)) ||
            has_bad(v_data + entry.at(plan.v, head) + (first + r) * plan.v.i, plan.v.j, int(plan.depth_v));
    }
    if (__any_sync(AMX_FULL_WARP, bad)) marks |= 1u << r;
  }
  if ((threadIdx.x & 31) == 0) (for_q ? q_marks : k_marks)[word] = marks;
}

// For every query: its log-sum-exp in the units of the passes (`base_2` or natural; +inf where the row passes no gradient
// on, so that all its weights become 0), delta = do . o - dlse, a mark if it passes none on, and its term of the sink's
// gradient. Rows are padded to `padded`, so that the passes may read whole tiles.
template <class T>
__global__ void __launch_bounds__(ROWS_THREADS)
    attend_stats(const T* out, const wide<T>* lse, const T* dout, const wide<T>* dlse, const void* sink,
                 wide<T>* lse_rows, wide<T>* delta, unsigned* dead_marks, wide<T>* dsink, i64 batch, i64 padded,
                 i64 base_2, ATTEND_AXES(dout), ATTEND_AXES(dlse), ATTEND_PLAN_PARAMS) {
  typedef wide<T> A;
  const Plan plan = ATTEND_PLAN;
  const Axes dout_axes = ATTEND_BUILD_AXES(dout), dlse_axes = ATTEND_BUILD_AXES(dlse);
  const int per_head = int(padded / 32), lane = threadIdx.x & 31;
  const i64 word = i64(blockIdx.x) * (ROWS_THREADS / 32) + (threadIdx.x >> 5), place = word / per_head;
  if (place >= batch * plan.heads) return;
  const int head = int(place % plan.heads), first = int(word % per_head) * 32;
  const Entry entry = entry_of(plan, unsigned(place / plan.heads), nullptr, nullptr);
  A mine = A(0);  // lane r keeps the dot product of row r
  for (int r = 0; dout != nullptr && r < 32 && first + r < plan.rows; ++r) {
    const T* g = dout + entry.at(dout_axes, head) + (first + r) * dout_axes.i;
    const T* o = out + (place * plan.rows + first + r) * plan.depth_v;
    A sum = A(0);
    for (int d = lane; d < plan.depth_v; d += 32) sum += widen(g[d * dout_axes.j]) * widen(o[d]);
    sum = warp_sum(sum);
    if (lane == r) mine = sum;
  }
  const int i = first + lane;
  A row_lse = infinity<A>();
  if (i < plan.rows) {
    row_lse = lse[place * plan.rows + i];
    if (dlse != nullptr) mine -= dlse[entry.at(dlse_axes, head) + i * dlse_axes.i];
  }
  const bool dead = !(fabs(row_lse) < infinity<A>());
  lse_rows[place * padded + i] = dead ? infinity<A>() : base_2 ? row_lse * Base2<A>::log2_e : row_lse;
  delta[place * padded + i] = dead ? A(0) : mine;
  const u32 marks = __ballot_sync(AMX_FULL_WARP, dead);
  if (lane == 0 && first < plan.rows) dead_marks[place * words_of(plan.rows) + first / 32] = marks;
  if (dsink != nullptr && i < plan.rows) {
    const A s = read_as<A>(sink, entry.at(plan.sink, head), int(plan.sink_kind));
    dsink[place * plan.rows + i] = dead ? A(0) : -exp(s - row_lse) * mine;
  }
}

// out[kept axes, dense] = sum of x over the other axes; both kinds of axes are merged to at most three. Either a thread
// or a whole block sums for one element.
template <class A, bool BLOCK>
__global__ void __launch_bounds__(ROWS_THREADS)
    attend_sum(const A* x, void* out, i64 kind, i64 n0, i64 n1, i64 n2, i64 s0, i64 s1, i64 s2, i64 m0, i64 m1,
               i64 m2, i64 t0, i64 t1, i64 t2) {
  const i64 at = BLOCK ? i64(blockIdx.x) : i64(blockIdx.x) * ROWS_THREADS + threadIdx.x;
  if (at >= n0 * n1 * n2) return;
  const A* from = x + at / (n1 * n2) * s0 + at / n2 % n1 * s1 + at % n2 * s2;
  A sum = A(0);
  for (i64 r = BLOCK ? threadIdx.x : 0; r < m0 * m1 * m2; r += BLOCK ? ROWS_THREADS : 1)
    sum += from[r / (m1 * m2) * t0 + r / m2 % m1 * t1 + r % m2 * t2];
  if (BLOCK) {
    __shared__ A parts[ROWS_THREADS / 32];
    sum = warp_sum(sum);
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = sum;
    __syncthreads();
    if (threadIdx.x != 0) return;
    sum = A(0);
    for (int w = 0; w < ROWS_THREADS / 32; ++w) sum += parts[w];
  }
  write_as<A>(out, at, int(kind), sum);
}
