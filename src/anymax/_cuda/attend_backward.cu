// attend_backward.cu -- gradients of attention on tensor cores in two passes, each writing every number once: no atomics,
// the same bits every time. Weights are recomputed from the log-sum-exp.
//   attend_queries  a block owns queries and walks over the keys: dq, and dbias and the slopes' part per row
//   attend_keys     a block owns keys and walks over the queries of every head of its group: dk and dv
// With P = exp2(score - lse) and dS = P (do . v - delta): dq = scale dS k, dk = scale dS^T q, dv = P^T do.
#include "attend_tile.cuh"

// dS becomes the gradient of scale * (q . k), before the soft cap; `scores` is free and holds the products once more.
template <class T, int HD, int MT, int N>
AMX_DEVICE void through_cap(float (&grads)[MT][N / 8][4], float (&scores)[MT][N / 8][4], const Plan& plan,
                            const T* rows, int row0, const T* stream) {
  product_rows<MT, N, HD, 1>(scores, rows, row0, stream);
  const float inner = __fdividef(float(plan.scale), float(plan.softcap));
  each_pair(grads, scores, [&](float& g, float& x, int, int, int) {
    const float t = tanh_quick(x * inner);
    g *= 1.f - t * t;
  });
}

// The cotangent of the output, zero in rows that pass no gradient on. Without one there are no rows: all is zero.
template <class T>
AMX_DEVICE Matrix<T> cotangent_of(const T* q_data, const T* dout, const Plan& plan, const Axes& axes,
                                  const Entry& entry, int head, const u32* dead_marks) {
  const T* const data = dout == nullptr ? q_data : dout;  // never read, but a place that may be named in a copy
  Matrix<T> m = matrix_of(data, axes, entry, head, plan.rows, plan.depth_v, dead_marks,
                          entry.flat * plan.heads + head, plan.vector & 8);
  if (dout == nullptr) m.rows = 0;
  return m;
}

template <class T, int HD, int MT, int N>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    attend_queries(const T* q_data, const T* k_data, const T* v_data, const unsigned char* mask, const void* bias,
                   const void* sink, const void* slopes, const void* q_lengths, const void* k_lengths,
                   const u32* q_marks, const u32* k_marks, const T* dout, const float* lse_rows, const float* delta,
                   const u32* dead_marks, T* dq, float* dq_wide, void* dbias, float* dslopes, i64 padded,
                   i64 dbias_kind, ATTEND_AXES(dout), ATTEND_PLAN_PARAMS) {
  constexpr int M = TILE_WARPS * MT * 16;
  AMX_DYNAMIC_SHARED(T, q_tile);
  T* const g_tile = q_tile + M * HD;
  T* const k_tiles = g_tile + M * HD;
  T* const v_tiles = k_tiles + 2 * N * HD;

  const Plan plan = ATTEND_PLAN;
  const Axes dout_axes = ATTEND_BUILD_AXES(dout);
  const int tiles = int((plan.rows + M - 1) / M);
  const unsigned place = blockIdx.x / tiles;
  const int i0 = (tiles - 1 - int(blockIdx.x % tiles)) * M;
  const int head = int(place % unsigned(plan.heads)), k_head = head / int(plan.group);
  const Entry entry = entry_of(plan, place / unsigned(plan.heads), q_lengths, k_lengths);
  const i64 q_place = place, k_place = i64(entry.flat) * (plan.heads / plan.group) + k_head;
  const auto q_rows =
      matrix_of(q_data, plan.q, entry, head, plan.rows, plan.depth, q_marks, q_place, plan.vector & 1);
  const auto g_rows = cotangent_of(q_data, dout, plan, dout_axes, entry, head, dead_marks);
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
  load_tile<M, HD>(g_tile, g_rows, i0);
  if (keys.first < keys.last) load(keys.first);
  copy_async_commit();

  const int row0 = int(threadIdx.x >> 5) * MT * 16;
  float row_lse[2 * MT], row_delta[2 * MT], row_slope[2 * MT];
#pragma unroll
  for (int s = 0; s < 2 * MT; ++s) {
    const i64 i = q_place * padded + i0 + row0 + slot_row(s);
    row_lse[s] = lse_rows[i];
    row_delta[s] = delta[i];
    row_slope[s] = 0.f;
  }
  const bool by_element = plan.extras || any_marked(dead_marks + q_place * words_of(plan.rows), i0, M, plan.rows);
  const i64 dbias_at = q_place * plan.rows * plan.cols;

  float sums[MT][HD / 8][4];
  clear(sums);
  for (int j0 = keys.first; j0 < keys.last; j0 += N) {
    const int stage = j0 / N & 1;
    const T* const k_tile = k_tiles + stage * N * HD;
    if (j0 + N < keys.last) load(j0 + N);
    copy_async_commit();
    copy_async_wait<1>();
    __syncthreads();
    float scores[MT][N / 8][4], grads[MT][N / 8][4];
    product_rows<MT, N, HD>(scores, q_tile, row0, k_tile);
    product_rows<MT, N, HD>(grads, g_tile, row0, v_tiles + stage * N * HD);
    if (by_element || !score.band.holds_all(i0, min(i0 + M, int(plan.rows)), j0, j0 + N)) {
      score_by_element<T>(scores, score, Corner<false>{i0 + row0, j0});
      each_pair(grads, scores, [&](float& g, float& x, int, int, int s) {
        const float p = row_lse[s] == infinity<float>() ? 0.f : exp2_quick(fminf(x - row_lse[s], 0.f));
        g = p * (g - row_delta[s]);
      });
      if (dbias != nullptr)
        each_score(grads, [&](float& g, int r, int c, int) {
          const int i = i0 + row0 + r, j = j0 + c;
          if (i < plan.rows && j < plan.cols) write_as<float>(dbias, dbias_at + i * plan.cols + j, int(dbias_kind), g);
        });
      if (dslopes != nullptr)
        each_score(grads, [&](float& g, int r, int c, int s) {
          row_slope[s] -= g * float(score.distance(i0 + row0 + r, j0 + c));
        });
      if (plan.softcap != 0.) through_cap<T, HD, MT, N>(grads, scores, plan, q_tile, row0, k_tile);
    } else {
      const float scale = score.scale * Base2<float>::log2_e;
      each_pair(grads, scores, [&](float& g, float& x, int, int, int s) {
        g = exp2_quick(fminf(rounded_product(x, scale) - row_lse[s], 0.f)) * (g - row_delta[s]);
      });
    }
    product_sums<MT, N, HD>(sums, grads, k_tile);
    __syncthreads();
  }
  copy_async_wait<0>();
  __syncthreads();

  const int row = i0 + row0, row_count = int(plan.rows), width = int(plan.depth);
  if (dbias != nullptr) {
    const int covered = keys.first < keys.last ? min(int(plan.cols), keys.first + (keys.last - keys.first + N - 1) / N * N)
                                               : keys.first;
    clear_bias<float>(dbias, dbias_at, int(dbias_kind), i0, min(i0 + M, row_count), 0, keys.first, plan.cols);
    clear_bias<float>(dbias, dbias_at, int(dbias_kind), i0, min(i0 + M, row_count), covered, int(plan.cols), plan.cols);
  }
  const auto factor = [&](int) { return score.scale; };
  if (dq != nullptr) {
    store_rows<MT, HD>(dq + q_place * plan.rows * width, sums, q_tile, row0, row, row_count, width, factor);
  } else if (dq_wide != nullptr) {
    store_wide<MT, HD>(dq_wide + q_place * plan.rows * width, sums, row, row_count, width, factor);
  }
  if (dslopes != nullptr) {
#pragma unroll
    for (int s = 0; s < 2 * MT; ++s) {
      const float total = quad_sum(row_slope[s]);
      const int i = row + slot_row(s);
      if (i < row_count && (threadIdx.x & 3) == 0) dslopes[q_place * row_count + i] = total;
    }
  }
}

template <class T, int HD, int MT, int N>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    attend_keys(const T* q_data, const T* k_data, const T* v_data, const unsigned char* mask, const void* bias,
                const void* sink, const void* slopes, const void* q_lengths, const void* k_lengths,
                const u32* q_marks, const u32* k_marks, const T* dout, const float* lse_rows, const float* delta,
                const u32* dead_marks, T* dk, T* dv, float* dk_wide, float* dv_wide, i64 padded, ATTEND_AXES(dout),
                ATTEND_PLAN_PARAMS) {
  constexpr int M = TILE_WARPS * MT * 16;
  AMX_DYNAMIC_SHARED(T, k_tile);
  T* const v_tile = k_tile + M * HD;
  T* const q_tiles = v_tile + M * HD;
  T* const g_tiles = q_tiles + 2 * N * HD;
  float* const stats = reinterpret_cast<float*>(g_tiles + 2 * N * HD);  // per stage: N lse_rows, N delta

  const Plan plan = ATTEND_PLAN;
  const Axes dout_axes = ATTEND_BUILD_AXES(dout);
  const int tiles = int((plan.cols + M - 1) / M), k_heads = int(plan.heads / plan.group);
  const unsigned place = blockIdx.x / tiles;
  const int j0 = int(blockIdx.x % tiles) * M, k_head = int(place % unsigned(k_heads));
  const Entry entry = entry_of(plan, place / unsigned(k_heads), q_lengths, k_lengths);
  const i64 k_place = place;
  const auto k_rows =
      matrix_of(k_data, plan.k, entry, k_head, plan.cols, plan.depth, k_marks, k_place, plan.vector & 2);
  const auto v_rows =
      matrix_of(v_data, plan.v, entry, k_head, plan.cols, plan.depth_v, k_marks, k_place, plan.vector & 4);
  const Band band = band_of(plan, entry);
  const Range queries = band.queries(j0, j0 + M, N);
  const int per_head = queries.first < queries.last ? (queries.last - queries.first + N - 1) / N : 0;
  const int steps = per_head * int(plan.group);

  // Step n: query tile n % per_head of the group's head n / per_head.
  const auto head_of = [&](int n) { return k_head * int(plan.group) + n / per_head; };
  const auto first_of = [&](int n) { return queries.first + n % per_head * N; };
  const auto load = [&](int n) {
    const int head = head_of(n), i0 = first_of(n), stage = n & 1;
    const i64 q_place = i64(entry.flat) * plan.heads + head;
    load_tile<N, HD>(
        q_tiles + stage * N * HD,
        matrix_of(q_data, plan.q, entry, head, plan.rows, plan.depth, q_marks, q_place, plan.vector & 1), i0);
    load_tile<N, HD>(g_tiles + stage * N * HD,
                     cotangent_of(q_data, dout, plan, dout_axes, entry, head, dead_marks), i0);
    const int c = threadIdx.x;
    if (c < N / 2)
      copy_async_16(stats + stage * 2 * N + 4 * c,
                    (c < N / 4 ? lse_rows : delta - N) + q_place * padded + i0 + 4 * c, 16);
  };
  load_tile<M, HD>(k_tile, k_rows, j0);
  load_tile<M, HD>(v_tile, v_rows, j0);
  if (steps > 0) load(0);
  copy_async_commit();

  const int row0 = int(threadIdx.x >> 5) * MT * 16;
  float k_sums[MT][HD / 8][4], v_sums[MT][HD / 8][4];
  clear(k_sums);
  clear(v_sums);
  for (int n = 0; n < steps; ++n) {
    const int stage = n & 1, i0 = first_of(n), head = head_of(n);
    const T* const q_tile = q_tiles + stage * N * HD;
    const T* const g_tile = g_tiles + stage * N * HD;
    const float* const tile_lse = stats + stage * 2 * N;
    if (n + 1 < steps) load(n + 1);
    copy_async_commit();
    copy_async_wait<1>();
    __syncthreads();
    float scores[MT][N / 8][4], grads[MT][N / 8][4];
    product_rows<MT, N, HD>(scores, k_tile, row0, q_tile);
    product_rows<MT, N, HD>(grads, v_tile, row0, g_tile);
    const u32* const dead = dead_marks + (i64(entry.flat) * plan.heads + head) * words_of(plan.rows);
    const bool by_element = plan.extras || !band.holds_all(i0, i0 + N, j0, min(j0 + M, int(plan.cols))) ||
                            any_marked(dead, i0, N, plan.rows);
    if (by_element) {
      const auto score = scorer_of<float>(plan, entry, head, mask, bias, slopes);
      score_by_element<T>(scores, score, Corner<true>{j0 + row0, i0});
      each_pair(grads, scores, [&](float& g, float& x, int, int c, int) {
        x = tile_lse[c] == infinity<float>() ? 0.f : exp2_quick(fminf(x - tile_lse[c], 0.f));
        g = x * (g - tile_lse[N + c]);
      });
    } else {
      const float scale = float(plan.scale) * Base2<float>::log2_e;
      each_pair(grads, scores, [&](float& g, float& x, int, int c, int) {
        x = exp2_quick(fminf(rounded_product(x, scale) - tile_lse[c], 0.f));
        g = x * (g - tile_lse[N + c]);
      });
    }
    product_sums<MT, N, HD>(v_sums, scores, g_tile);
    if (plan.softcap != 0.) through_cap<T, HD, MT, N>(grads, scores, plan, k_tile, row0, q_tile);
    product_sums<MT, N, HD>(k_sums, grads, q_tile);
    __syncthreads();
  }
  copy_async_wait<0>();
  __syncthreads();

  const int row = j0 + row0, row_count = int(plan.cols), width = int(plan.depth), width_v = int(plan.depth_v);
  const auto scaled = [&](int) { return float(plan.scale); };
  const auto plain = [&](int) { return 1.f; };
  if (dk != nullptr) {
    store_rows<MT, HD>(dk + k_place * row_count * width, k_sums, k_tile, row0, row, row_count, width, scaled);
  } else if (dk_wide != nullptr) {
    store_wide<MT, HD>(dk_wide + k_place * row_count * width, k_sums, row, row_count, width, scaled);
  }
  if (dv != nullptr) {
    store_rows<MT, HD>(dv + k_place * row_count * width_v, v_sums, v_tile, row0, row, row_count, width_v, plain);
  } else if (dv_wide != nullptr) {
    store_wide<MT, HD>(dv_wide + k_place * row_count * width_v, v_sums, row, row_count, width_v, plain);
  }
}
