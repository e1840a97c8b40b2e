// attend_forward.cu -- softmax attention on tensor cores: one pass over the keys, nothing of size L x S is stored.
//
// Block: 4 warps x MT x 16 queries of one head. Keys and values arrive in tiles of N, double buffered by cp.async;
// each warp keeps its queries' running maximum, sum and weighted values in registers. Tiles that no query of the block
// sees are skipped; tiles that all of its queries see in full need no per-element test.
#include "attend_tile.cuh"

// The running softmax of one thread's share of 2 MT rows: maximum and sum (of this lane's columns) in base 2.
template <int MT>
struct OnlineSoftmax {
  float top[2 * MT], sum[2 * MT];

  // A sink is a key without value: it starts the sums. One lane of the four that share a row counts it.
  AMX_DEVICE void start(float sink) {
#pragma unroll
    for (int s = 0; s < 2 * MT; ++s) {
      top[s] = sink;
      sum[s] = sink != -infinity<float>() && (threadIdx.x & 3) == 0 ? 1.f : 0.f;
    }
  }

  // Turn scores into weights relative to the new maximum and bring what was summed before to it.
  template <int COLUMNS, int OUT>
  AMX_DEVICE void absorb(float (&scores)[MT][COLUMNS][4], float (&sums)[MT][OUT][4]) {
    float now[2 * MT], base[2 * MT];
#pragma unroll
    for (int s = 0; s < 2 * MT; ++s) now[s] = top[s];
    each_score(scores, [&](float& x, int, int, int s) { now[s] = fmaxf(now[s], x); });
#pragma unroll
    for (int s = 0; s < 2 * MT; ++s) {
      now[s] = quad_max(now[s]);
      base[s] = now[s] == -infinity<float>() ? 0.f : now[s];  // nothing seen yet: -inf - (-inf) must not appear
      const float shrink = exp2_quick(top[s] - base[s]);
      top[s] = now[s];
      sum[s] *= shrink;
#pragma unroll
      for (int n = 0; n < OUT; ++n) {
        sums[s >> 1][n][2 * (s & 1)] *= shrink;
        sums[s >> 1][n][2 * (s & 1) + 1] *= shrink;
      }
    }
    each_score(scores, [&](float& x, int, int, int s) {
      x = exp2_quick(x - base[s]);
      sum[s] += x;
    });
  }

  AMX_DEVICE void finish() {
#pragma unroll
    for (int s = 0; s < 2 * MT; ++s) sum[s] = quad_sum(sum[s]);
  }
  // NaN stays NaN; an empty row gives 0 and -inf.
  AMX_DEVICE float inverse(int s) const { return sum[s] == 0.f ? 0.f : 1.f / sum[s]; }
  AMX_DEVICE float logsumexp(int s) const {
    return sum[s] == 0.f ? -infinity<float>() : (top[s] + log2f(sum[s])) * Base2<float>::ln_2;
  }
};

template <class T, int HD, int MT, int N>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    attend_forward(const T* q_data, const T* k_data, const T* v_data, const unsigned char* mask, const void* bias,
                   const void* sink, const void* slopes, const void* q_lengths, const void* k_lengths,
                   const u32* q_marks, const u32* k_marks, T* out, float* lse, ATTEND_PLAN_PARAMS) {
  constexpr int M = TILE_WARPS * MT * 16;
  AMX_DYNAMIC_SHARED(T, q_tile);
  T* const k_tiles = q_tile + M * HD;
  T* const v_tiles = k_tiles + 2 * N * HD;

  const Plan plan = ATTEND_PLAN;
  const int tiles = int((plan.rows + M - 1) / M);
  const unsigned place = blockIdx.x / tiles;
  const int i0 = (tiles - 1 - int(blockIdx.x % tiles)) * M;  // under a causal mask the longest first
  const int head = int(place % unsigned(plan.heads)), k_head = head / int(plan.group);
  const Entry entry = entry_of(plan, place / unsigned(plan.heads), q_lengths, k_lengths);
  const i64 q_place = place, k_place = i64(entry.flat) * (plan.heads / plan.group) + k_head;
  const auto q_rows =
      matrix_of(q_data, plan.q, entry, head, plan.rows, plan.depth, q_marks, q_place, plan.vector & 1);
  const auto k_rows =
      matrix_of(k_data, plan.k, entry, k_head, plan.cols, plan.depth, k_marks, k_place, plan.vector & 2);
  const auto v_rows =
      matrix_of(v_data, plan.v, entry, k_head, plan.cols, plan.depth_v, k_marks, k_place, plan.vector & 4);
  const auto score = scorer_of<float>(plan, entry, head, mask, bias, slopes);
  const Range keys = score.band.keys(i0, i0 + M, N);

  const auto load = [&](int j0) {
    const int stage = j0 / N & 1;
    load_tile<N, HD>(k_tiles + stage * N * HD, k_rows, j0);
    load_tile<N, HD>(v_tiles + stage * N * HD, v_rows, j0);
  };
  load_tile<M, HD>(q_tile, q_rows, i0);
  if (keys.first < keys.last) load(keys.first);
  copy_async_commit();

  const int row0 = int(threadIdx.x >> 5) * MT * 16;
  u32 bad_rows = 0;  // this thread's marked queries, a bit per slot
#pragma unroll
  for (int s = 0; s < 2 * MT; ++s) {
    const int i = i0 + row0 + slot_row(s);
    if (i < plan.rows && is_marked(q_rows.skip, i)) bad_rows |= 1u << s;
  }
  const bool by_element = plan.extras || any_marked(q_rows.skip, i0, M, plan.rows);

  OnlineSoftmax<MT> softmax;
  softmax.start(sink == nullptr ? -infinity<float>()
                                : read_as<float>(sink, entry.at(plan.sink, head), int(plan.sink_kind)) *
                                      Base2<float>::log2_e);
  float sums[MT][HD / 8][4];
  clear(sums);
  for (int j0 = keys.first; j0 < keys.last; j0 += N) {
    const int stage = j0 / N & 1;
    if (j0 + N < keys.last) load(j0 + N);
    copy_async_commit();
    copy_async_wait<1>();
    __syncthreads();
    float scores[MT][N / 8][4];
    product_rows<MT, N, HD>(scores, q_tile, row0, k_tiles + stage * N * HD);
    if (by_element || !score.band.holds_all(i0, min(i0 + M, int(plan.rows)), j0, j0 + N) ||
        any_marked(k_rows.skip, j0, N, plan.cols)) {
      score_by_element<T>(scores, score, Corner<false>{i0 + row0, j0});
      if (by_element || any_marked(k_rows.skip, j0, N, plan.cols)) {
        // A pair that takes part with a marked row: the query's result is NaN.
        each_score(scores, [&](float& x, int, int c, int s) {
          if (x != -infinity<float>() && ((bad_rows >> s & 1) || is_marked(k_rows.skip, j0 + c)))
            x = quiet_nan<float>();
        });
      }
    } else {
      const float scale = score.scale * Base2<float>::log2_e;
      each_score(scores, [&](float& x, int, int, int) { x = rounded_product(x, scale); });
    }
    softmax.absorb(scores, sums);
    product_sums<MT, N, HD>(sums, scores, v_tiles + stage * N * HD);
    __syncthreads();  // the stage is overwritten next
  }
  copy_async_wait<0>();
  __syncthreads();

  softmax.finish();
  const int row = i0 + row0;
  store_rows<MT, HD>(out + q_place * plan.rows * plan.depth_v, sums, q_tile, row0, row, int(plan.rows),
                     int(plan.depth_v), [&](int s) { return softmax.inverse(s); });
#pragma unroll
  for (int s = 0; s < 2 * MT; ++s) {
    const int i = row + slot_row(s);
    if (i < plan.rows && (threadIdx.x & 3) == 0)
      lse[q_place * plan.rows + i] = i < entry.q_length ? softmax.logsumexp(s) : -infinity<float>();
  }
}
