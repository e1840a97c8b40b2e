// attend_plain.cu -- attention without tensor cores: float32, float64, and half types with large heads. The same passes
// as attend_forward.cu and attend_backward.cu, and the same order of sums in every run.
//
// Block: 16 x 16 threads. "Rows" (queries, or keys in the dk / dv pass) stay in shared memory in the arithmetic type,
// the "stream" passes through one buffer. Thread (ty, tx) owns rows ty + 16 r, the scores of columns tx + 16 c, and the
// sums of head columns (tx + 16 e) V .. + V, V numbers being 16 bytes.
#include "attend.cuh"

constexpr int PLAIN_THREADS = 256;

template <class A>
constexpr int lanes_of() {
  return 16 / int(sizeof(A));
}

// Shapes that one kernel works with: head dimension HD (padded), 16 R resident rows, 16 C streamed rows.
template <class A, int HD, int R, int C>
struct Shape {
  static constexpr int V = lanes_of<A>(), M = 16 * R, N = 16 * C, E = HD / (16 * V);
  static constexpr int STEP = HD + V, WEIGHT_STEP = N + V;  // padded by 16 bytes against bank conflicts
};

struct Seat {
  int tx, ty;
};
AMX_DEVICE Seat seat() { return {int(threadIdx.x) & 15, int(threadIdx.x) >> 4}; }

// Rows [first, first + N) of a matrix, widened; marked rows, and what lies outside, become zeros.
template <int N, int HD, class A, class T>
AMX_DEVICE void load_wide(A* tile, const T* x, i64 row_step, i64 column_step, int first, int rows, int width,
                          const u32* marks) {
  constexpr int STEP = HD + lanes_of<A>();
  for (int c = threadIdx.x; c < N * HD; c += PLAIN_THREADS) {
    const int r = c / HD, d = c % HD, row = first + r;
    const bool live = d < width && row < rows && !is_marked(marks, row);
    tile[r * STEP + d] = live ? widen(x[row * row_step + d * column_step]) : A(0);
  }
}

// scores = rows . stream^T.
template <class A, int HD, int R, int C>
AMX_DEVICE void dot_rows(A (&scores)[R][C], const A* rows, const A* stream) {
  typedef Shape<A, HD, R, C> S;
  const Seat at = seat();
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int c = 0; c < C; ++c) scores[r][c] = A(0);
#pragma unroll 2
  for (int d = 0; d < HD; d += S::V) {
    pack<A, S::V> a[R], b[C];
#pragma unroll
    for (int r = 0; r < R; ++r) a[r] = *reinterpret_cast<const pack<A, S::V>*>(rows + (at.ty + 16 * r) * S::STEP + d);
#pragma unroll
    for (int c = 0; c < C; ++c) b[c] = *reinterpret_cast<const pack<A, S::V>*>(stream + (at.tx + 16 * c) * S::STEP + d);
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
      for (int c = 0; c < C; ++c)
#pragma unroll
        for (int v = 0; v < S::V; ++v) scores[r][c] += a[r].at[v] * b[c].at[v];
  }
}

// sums += weights . stream, the weights in shared memory.
template <class A, int HD, int R, int C>
AMX_DEVICE void add_weighted(A (&sums)[R][HD / 16], const A* weights, const A* stream) {
  typedef Shape<A, HD, R, C> S;
  const Seat at = seat();
#pragma unroll 2
  for (int n = 0; n < S::N; ++n) {
    A w[R];
#pragma unroll
    for (int r = 0; r < R; ++r) w[r] = weights[(at.ty + 16 * r) * S::WEIGHT_STEP + n];
#pragma unroll
    for (int e = 0; e < S::E; ++e) {
      const pack<A, S::V> x =
          *reinterpret_cast<const pack<A, S::V>*>(stream + n * S::STEP + (at.tx + 16 * e) * S::V);
#pragma unroll
      for (int r = 0; r < R; ++r)
#pragma unroll
        for (int v = 0; v < S::V; ++v) sums[r][e * S::V + v] += w[r] * x.at[v];
    }
  }
}

template <class A, int HD, int R, int C>
AMX_DEVICE void put_weights(A* weights, const A (&scores)[R][C]) {
  typedef Shape<A, HD, R, C> S;
  const Seat at = seat();
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int c = 0; c < C; ++c) weights[(at.ty + 16 * r) * S::WEIGHT_STEP + at.tx + 16 * c] = scores[r][c];
}
template <class A, int HD, int R, int C>
AMX_DEVICE void get_weights(A (&scores)[R][C], const A* weights) {
  typedef Shape<A, HD, R, C> S;
  const Seat at = seat();
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int c = 0; c < C; ++c) scores[r][c] = weights[(at.ty + 16 * r) * S::WEIGHT_STEP + at.tx + 16 * c];
}

// Visit the thread's own elements in shared memory, one after another: f(element, row slot, row, column). The loop is
// not unrolled, because a score with every option is a lot of code.
template <class A, int HD, int R, int C, class F>
AMX_DEVICE void each_weight(A* weights, F f) {
  typedef Shape<A, HD, R, C> S;
  const Seat at = seat();
#pragma unroll 1
  for (int x = 0; x < R * C; ++x) {
    const int r = x / C, c = x % C, row = at.ty + 16 * r, column = at.tx + 16 * c;
    f(weights[row * S::WEIGHT_STEP + column], row, column);
  }
}

// Over the 16 threads that share a row.
template <class A>
AMX_DEVICE A row_sum(A x) {
#pragma unroll
  for (int step = 8; step > 0; step /= 2) x += __shfl_xor_sync(AMX_FULL_WARP, x, step);
  return x;
}
template <class A>
AMX_DEVICE A row_max(A x) {
#pragma unroll
  for (int step = 8; step > 0; step /= 2) x = fmax(x, __shfl_xor_sync(AMX_FULL_WARP, x, step));
  return x;
}

// Rows of sums, times a factor each, to a dense (rows, width) matrix: rounded to T, or whole for a later sum.
template <class A, int HD, int R, class T>
AMX_DEVICE void store_sums(T* out, A* wide_out, const A (&sums)[R][HD / 16], int first, int rows, int width,
                           const A (&factor)[R]) {
  constexpr int V = lanes_of<A>();
  const Seat at = seat();
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int row = first + at.ty + 16 * r;
    if (row >= rows) continue;
#pragma unroll
    for (int x = 0; x < HD / 16; ++x) {
      const int d = (at.tx + x / V * 16) * V + x % V;
      if (d >= width) continue;
      const A value = sums[r][x] * factor[r];
      if (out != nullptr) {
        out[i64(row) * width + d] = narrow<T>(value);
      } else if (wide_out != nullptr) {
        wide_out[i64(row) * width + d] = value;
      }
    }
  }
}

template <class A, int R, int X>
AMX_DEVICE void clear(A (&sums)[R][X]) {
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int x = 0; x < X; ++x) sums[r][x] = A(0);
}

// ---------------------------------------------------------------------------------------------------- forward
template <class T, int HD, int R, int C>
__global__ void __launch_bounds__(PLAIN_THREADS, 1)
    plain_forward(const T* q_data, const T* k_data, const T* v_data, const unsigned char* mask, const void* bias,
                  const void* sink, const void* slopes, const void* q_lengths, const void* k_lengths,
                  const u32* q_marks, const u32* k_marks, T* out, wide<T>* lse, ATTEND_PLAN_PARAMS) {
  typedef wide<T> A;
  typedef Shape<A, HD, R, C> S;
  AMX_DYNAMIC_SHARED(A, q_tile);
  A* const stream = q_tile + S::M * S::STEP;
  A* const weights = stream + S::N * S::STEP;

  const Plan plan = ATTEND_PLAN;
  const int tiles = int((plan.rows + S::M - 1) / S::M);
  const unsigned place = blockIdx.x / tiles;
  const int i0 = (tiles - 1 - int(blockIdx.x % tiles)) * S::M;
  const int head = int(place % unsigned(plan.heads)), k_head = head / int(plan.group);
  const Entry entry = entry_of(plan, place / unsigned(plan.heads), q_lengths, k_lengths);
  const i64 k_place = i64(entry.flat) * (plan.heads / plan.group) + k_head;
  const u32* const bad_q = q_marks + i64(place) * words_of(plan.rows);
  const u32* const bad_k = k_marks + k_place * words_of(plan.cols);
  const T* const k_rows = k_data + entry.at(plan.k, k_head);
  const T* const v_rows = v_data + entry.at(plan.v, k_head);
  const auto score = scorer_of<A>(plan, entry, head, mask, bias, slopes);
  const Range keys = score.band.keys(i0, i0 + S::M, S::N);
  const Seat at = seat();

  load_wide<S::M, HD>(q_tile, q_data + entry.at(plan.q, head), plan.q.i, plan.q.j, i0, int(plan.rows),
                      int(plan.depth), bad_q);
  const A start = sink == nullptr ? -infinity<A>()
                                   : read_as<A>(sink, entry.at(plan.sink, head), int(plan.sink_kind));
  A top[R], total[R], sums[R][HD / 16];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    top[r] = start;
    total[r] = start != -infinity<A>() && at.tx == 0 ? A(1) : A(0);
  }
  clear(sums);
  for (int j0 = keys.first; j0 < keys.last; j0 += S::N) {
    __syncthreads();
    load_wide<S::N, HD>(stream, k_rows, plan.k.i, plan.k.j, j0, int(plan.cols), int(plan.depth), bad_k);
    __syncthreads();
    A scores[R][C];
    dot_rows<A, HD>(scores, q_tile, stream);
    put_weights<A, HD>(weights, scores);
    each_weight<A, HD, R, C>(weights, [&](A& x, int row, int column) {
      const int i = i0 + row, j = j0 + column;
      x = score(x, i, j);
      // A pair that takes part with a marked row: the query's result is NaN.
      if (x != -infinity<A>() && (is_marked(bad_q, i) || is_marked(bad_k, j))) x = quiet_nan<A>();
    });
    get_weights<A, HD>(scores, weights);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      A now = top[r];
#pragma unroll
      for (int c = 0; c < C; ++c) now = fmax(now, scores[r][c]);
      now = row_max(now);
      const A base = now == -infinity<A>() ? A(0) : now, shrink = exp(top[r] - base);
      top[r] = now;
      total[r] *= shrink;
#pragma unroll
      for (int x = 0; x < HD / 16; ++x) sums[r][x] *= shrink;
#pragma unroll
      for (int c = 0; c < C; ++c) {
        scores[r][c] = exp(scores[r][c] - base);
        total[r] += scores[r][c];
      }
    }
    put_weights<A, HD>(weights, scores);
    __syncthreads();
    load_wide<S::N, HD>(stream, v_rows, plan.v.i, plan.v.j, j0, int(plan.cols), int(plan.depth_v), bad_k);
    __syncthreads();
    add_weighted<A, HD, R, C>(sums, weights, stream);
  }

  A inverse[R];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    total[r] = row_sum(total[r]);
    inverse[r] = total[r] == A(0) ? A(0) : A(1) / total[r];
    const int i = i0 + at.ty + 16 * r;
    if (i < plan.rows && at.tx == 0)
      lse[place * plan.rows + i] = total[r] == A(0) || i >= entry.q_length
                                       ? -infinity<A>()
                                       : top[r] + log(total[r]);
  }
  store_sums<A, HD>(out + place * plan.rows * plan.depth_v, static_cast<A*>(nullptr), sums, i0, int(plan.rows),
                    int(plan.depth_v), inverse);
}

// --------------------------------------------------------------------------------------------------- backward
// dS becomes the gradient of scale * (q . k), before the soft cap; the products are computed once more.
template <class A, int HD, int R, int C>
AMX_DEVICE void bend_scores(A (&grads)[R][C], const Scorer<A>& score, const A* rows, const A* stream) {
  if (score.cap == A(0)) return;
  A products[R][C];
  dot_rows<A, HD>(products, rows, stream);
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int c = 0; c < C; ++c) {
      const A t = tanh(products[r][c] * score.scale / score.cap);
      grads[r][c] *= A(1) - t * t;
    }
}

template <class T, int HD, int R, int C>
__global__ void __launch_bounds__(PLAIN_THREADS, 1)
    plain_queries(const T* q_data, const T* k_data, const T* v_data, const unsigned char* mask, const void* bias,
                  const void* sink, const void* slopes, const void* q_lengths, const void* k_lengths,
                  const u32* q_marks, const u32* k_marks, const T* dout, const wide<T>* lse_rows, const wide<T>* delta,
                  const u32* dead_marks, T* dq, wide<T>* dq_wide, void* dbias, wide<T>* dslopes, i64 padded,
                  i64 dbias_kind, ATTEND_AXES(dout), ATTEND_PLAN_PARAMS) {
  typedef wide<T> A;
  typedef Shape<A, HD, R, C> S;
  AMX_DYNAMIC_SHARED(A, q_tile);
  A* const g_tile = q_tile + S::M * S::STEP;
  A* const stream = g_tile + S::M * S::STEP;
  A* const weights = stream + S::N * S::STEP;

  const Plan plan = ATTEND_PLAN;
  const Axes dout_axes = ATTEND_BUILD_AXES(dout);
  const int tiles = int((plan.rows + S::M - 1) / S::M);
  const unsigned place = blockIdx.x / tiles;
  const int i0 = (tiles - 1 - int(blockIdx.x % tiles)) * S::M;
  const int head = int(place % unsigned(plan.heads)), k_head = head / int(plan.group);
  const Entry entry = entry_of(plan, place / unsigned(plan.heads), q_lengths, k_lengths);
  const i64 k_place = i64(entry.flat) * (plan.heads / plan.group) + k_head;
  const u32* const bad_q = q_marks + i64(place) * words_of(plan.rows);
  const u32* const bad_k = k_marks + k_place * words_of(plan.cols);
  const T* const k_rows = k_data + entry.at(plan.k, k_head);
  const T* const v_rows = v_data + entry.at(plan.v, k_head);
  const auto score = scorer_of<A>(plan, entry, head, mask, bias, slopes);
  const Range keys = score.band.keys(i0, i0 + S::M, S::N);
  const Seat at = seat();

  load_wide<S::M, HD>(q_tile, q_data + entry.at(plan.q, head), plan.q.i, plan.q.j, i0, int(plan.rows),
                      int(plan.depth), bad_q);
  load_wide<S::M, HD>(g_tile, dout == nullptr ? q_data : dout + entry.at(dout_axes, head), dout_axes.i, dout_axes.j,
                      i0, dout == nullptr ? 0 : int(plan.rows), int(plan.depth_v),
                      dead_marks + i64(place) * words_of(plan.rows));
  const A* const row_lse = lse_rows + place * padded + i0;
  const A* const row_delta = delta + place * padded + i0;
  const i64 dbias_at = place * plan.rows * plan.cols;
  A sums[R][HD / 16], slope_sums[R];
  clear(sums);
#pragma unroll
  for (int r = 0; r < R; ++r) slope_sums[r] = A(0);
  for (int j0 = keys.first; j0 < keys.last; j0 += S::N) {
    A scores[R][C], grads[R][C];
    __syncthreads();
    load_wide<S::N, HD>(stream, v_rows, plan.v.i, plan.v.j, j0, int(plan.cols), int(plan.depth_v), bad_k);
    __syncthreads();
    dot_rows<A, HD>(grads, g_tile, stream);
    __syncthreads();
    load_wide<S::N, HD>(stream, k_rows, plan.k.i, plan.k.j, j0, int(plan.cols), int(plan.depth), bad_k);
    __syncthreads();
    dot_rows<A, HD>(scores, q_tile, stream);
    put_weights<A, HD>(weights, scores);
    each_weight<A, HD, R, C>(weights, [&](A& x, int row, int column) {
      x = score(x, i0 + row, j0 + column);
      x = row_lse[row] == infinity<A>() ? A(0) : exp(fmin(x - row_lse[row], A(0)));
    });
    get_weights<A, HD>(scores, weights);
#pragma unroll
    for (int r = 0; r < R; ++r)
#pragma unroll
      for (int c = 0; c < C; ++c) {
        const int row = at.ty + 16 * r, i = i0 + row, j = j0 + at.tx + 16 * c;
        grads[r][c] = scores[r][c] * (grads[r][c] - row_delta[row]);
        if (dbias != nullptr && i < plan.rows && j < plan.cols)
          write_as<A>(dbias, dbias_at + i * plan.cols + j, int(dbias_kind), grads[r][c]);
        if (dslopes != nullptr) slope_sums[r] -= grads[r][c] * A(score.distance(i, j));
      }
    bend_scores<A, HD>(grads, score, q_tile, stream);
    put_weights<A, HD>(weights, grads);
    __syncwarp();
    add_weighted<A, HD, R, C>(sums, weights, stream);
  }

  const int row_count = int(plan.rows);
  if (dbias != nullptr) {
    const int last = keys.first < keys.last
                         ? min(int(plan.cols), keys.first + (keys.last - keys.first + S::N - 1) / S::N * S::N)
                         : keys.first;
    clear_bias<A>(dbias, dbias_at, int(dbias_kind), i0, min(i0 + S::M, row_count), 0, keys.first, plan.cols);
    clear_bias<A>(dbias, dbias_at, int(dbias_kind), i0, min(i0 + S::M, row_count), last, int(plan.cols), plan.cols);
  }
  A factor[R];
#pragma unroll
  for (int r = 0; r < R; ++r) {
    factor[r] = score.scale;
    const A total = row_sum(slope_sums[r]);
    const int i = i0 + at.ty + 16 * r;
    if (dslopes != nullptr && i < row_count && at.tx == 0) dslopes[place * plan.rows + i] = total;
  }
  const i64 q_at = place * plan.rows * plan.depth;
  store_sums<A, HD>(dq == nullptr ? dq : dq + q_at, dq_wide == nullptr ? dq_wide : dq_wide + q_at, sums, i0, row_count,
                    int(plan.depth), factor);
}

template <class T, int HD, int R, int C>
__global__ void __launch_bounds__(PLAIN_THREADS, 1)
    plain_keys(const T* q_data, const T* k_data, const T* v_data, const unsigned char* mask, const void* bias,
               const void* sink, const void* slopes, const void* q_lengths, const void* k_lengths, const u32* q_marks,
               const u32* k_marks, const T* dout, const wide<T>* lse_rows, const wide<T>* delta, const u32* dead_marks,
               T* dk, T* dv, wide<T>* dk_wide, wide<T>* dv_wide, i64 padded, ATTEND_AXES(dout), ATTEND_PLAN_PARAMS) {
  typedef wide<T> A;
  typedef Shape<A, HD, R, C> S;
  AMX_DYNAMIC_SHARED(A, k_tile);
  A* const v_tile = k_tile + S::M * S::STEP;
  A* const stream = v_tile + S::M * S::STEP;
  A* const weights = stream + S::N * S::STEP;

  const Plan plan = ATTEND_PLAN;
  const Axes dout_axes = ATTEND_BUILD_AXES(dout);
  const int tiles = int((plan.cols + S::M - 1) / S::M), k_heads = int(plan.heads / plan.group);
  const unsigned place = blockIdx.x / tiles;
  const int j0 = int(blockIdx.x % tiles) * S::M, k_head = int(place % unsigned(k_heads));
  const Entry entry = entry_of(plan, place / unsigned(k_heads), q_lengths, k_lengths);
  const u32* const bad_k = k_marks + i64(place) * words_of(plan.cols);
  const Range queries = band_of(plan, entry).queries(j0, j0 + S::M, S::N);

  load_wide<S::M, HD>(k_tile, k_data + entry.at(plan.k, k_head), plan.k.i, plan.k.j, j0, int(plan.cols),
                      int(plan.depth), bad_k);
  load_wide<S::M, HD>(v_tile, v_data + entry.at(plan.v, k_head), plan.v.i, plan.v.j, j0, int(plan.cols),
                      int(plan.depth_v), bad_k);
  A k_sums[R][HD / 16], v_sums[R][HD / 16];
  clear(k_sums);
  clear(v_sums);
  for (int head = k_head * int(plan.group); head < (k_head + 1) * int(plan.group); ++head) {
    const i64 q_place = i64(entry.flat) * plan.heads + head;
    const auto score = scorer_of<A>(plan, entry, head, mask, bias, slopes);
    const T* const q_rows = q_data + entry.at(plan.q, head);
    const T* const g_rows = dout == nullptr ? q_data : dout + entry.at(dout_axes, head);
    const u32* const bad_q = q_marks + q_place * words_of(plan.rows);
    const u32* const dead = dead_marks + q_place * words_of(plan.rows);
    for (int i0 = queries.first; i0 < queries.last; i0 += S::N) {
      const A* const tile_lse = lse_rows + q_place * padded + i0;
      const A* const tile_delta = delta + q_place * padded + i0;
      A scores[R][C], grads[R][C];
      __syncthreads();
      load_wide<S::N, HD>(stream, q_rows, plan.q.i, plan.q.j, i0, int(plan.rows), int(plan.depth), bad_q);
      __syncthreads();
      dot_rows<A, HD>(scores, k_tile, stream);
      put_weights<A, HD>(weights, scores);
      each_weight<A, HD, R, C>(weights, [&](A& x, int row, int column) {
        x = score(x, i0 + column, j0 + row);
        x = tile_lse[column] == infinity<A>() ? A(0) : exp(fmin(x - tile_lse[column], A(0)));
      });
      get_weights<A, HD>(scores, weights);
      __syncthreads();
      load_wide<S::N, HD>(stream, g_rows, dout_axes.i, dout_axes.j, i0, dout == nullptr ? 0 : int(plan.rows),
                          int(plan.depth_v), dead);
      __syncthreads();
      dot_rows<A, HD>(grads, v_tile, stream);
      add_weighted<A, HD, R, C>(v_sums, weights, stream);
#pragma unroll
      for (int r = 0; r < R; ++r)
#pragma unroll
        for (int c = 0; c < C; ++c)
          grads[r][c] = scores[r][c] * (grads[r][c] - tile_delta[seat().tx + 16 * c]);
      __syncthreads();
      load_wide<S::N, HD>(stream, q_rows, plan.q.i, plan.q.j, i0, int(plan.rows), int(plan.depth), bad_q);
      __syncthreads();
      bend_scores<A, HD>(grads, score, k_tile, stream);
      put_weights<A, HD>(weights, grads);
      __syncwarp();
      add_weighted<A, HD, R, C>(k_sums, weights, stream);
    }
  }

  A scaled[R], plain[R];
#pragma unroll
  for (int r = 0; r < R; ++r) scaled[r] = A(plan.scale), plain[r] = A(1);
  const i64 k_at = place * plan.cols * plan.depth, v_at = place * plan.cols * plan.depth_v;
  store_sums<A, HD>(dk == nullptr ? dk : dk + k_at, dk_wide == nullptr ? dk_wide : dk_wide + k_at, k_sums, j0,
                    int(plan.cols), int(plan.depth), scaled);
  store_sums<A, HD>(dv == nullptr ? dv : dv + v_at, dv_wide == nullptr ? dv_wide : dv_wide + v_at, v_sums, j0,
                    int(plan.cols), int(plan.depth_v), plain);
}
