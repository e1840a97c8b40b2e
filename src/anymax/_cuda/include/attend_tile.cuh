// attend_tile.cuh -- tiles of 16-bit rows in shared memory and the two products attention is made of.
//
// A warp owns MT x 16 rows of a resident tile ("rows") and meets a streamed tile of N rows ("stream"):
//   scores[MT][N / 8]  += rows . stream^T     contracts the HD columns of both
//   sums[MT][HD / 8]   += weights . stream    contracts the N rows of the stream; the weights never leave registers
// Forward and the dq pass have queries in rows and keys in the stream; the dk / dv pass has them the other way round.
#include "mma.cuh"
#include "attend.cuh"

constexpr int TILE_THREADS = 128;
constexpr int TILE_WARPS = TILE_THREADS / 32;

// Element offset of 16-byte chunk `chunk` of row `row`. Chunks are permuted within 128 bytes so that the eight rows
// that one ldmatrix phase reads, and the eight chunks that eight threads copy, fall into different banks.
template <int HD>
AMX_DEVICE int tile_at(int row, int chunk) {
  return row * HD + ((chunk ^ (HD % 64 == 0 ? row & 7 : row >> 1 & 3)) << 3);
}

// A matrix in global memory: `width` columns used, `rows` rows, those marked in `skip` read as zeros.
template <class T>
struct Matrix {
  const T* data;
  i64 row_step, column_step;
  int rows, width;
  const u32* skip;
  bool vector;  // rows start at multiples of 16 bytes and columns are neighbours
};

template <class T>
AMX_DEVICE Matrix<T> matrix_of(const T* x, const Axes& axes, const Entry& e, int head, i64 rows, i64 width,
                               const u32* marks, i64 marks_head, bool vector) {
  return {x + e.at(axes, head), axes.i, axes.j, int(rows), int(width), marks + marks_head * words_of(rows), vector};
}

// Start to bring rows [first, first + N) into a tile; the caller commits, waits and synchronises. N and `first` are
// multiples of 32, so that the rows' marks are whole words.
template <int N, int HD, class T>
AMX_DEVICE void load_tile(T* tile, const Matrix<T>& m, int first) {
  constexpr int CHUNKS = HD / 8;
  u32 marks[N / 32];
#pragma unroll
  for (int w = 0; w < N / 32; ++w) marks[w] = first + 32 * w < m.rows ? m.skip[first / 32 + w] : 0;
  for (int c = recomputed(threadIdx.x); c < N * CHUNKS; c += TILE_THREADS) {
    const int r = c / CHUNKS, chunk = c % CHUNKS, row = first + r;
    u32 word = marks[0];
#pragma unroll
    for (int w = 1; w < N / 32; ++w) word = r >= 32 * w ? marks[w] : word;
    const bool live = row < m.rows && !(word >> (r & 31) & 1);
    const int columns = live ? max(0, min(8, m.width - chunk * 8)) : 0;
    const T* from = m.data + (columns > 0 ? row * m.row_step + chunk * 8 * m.column_step : 0);
    T* to = tile + tile_at<HD>(r, chunk);
    if (m.vector) {
      copy_async_16(to, from, columns * int(sizeof(T)));
      continue;
    }
    pack<T, 8> line;
#pragma unroll
    for (int x = 0; x < 8; ++x) line.at[x] = x < columns ? from[x * m.column_step] : T{};
    *reinterpret_cast<pack<T, 8>*>(to) = line;
  }
}

template <int MT, int COLUMNS>
AMX_DEVICE void clear(float (&acc)[MT][COLUMNS][4]) {
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int n = 0; n < COLUMNS; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) acc[m][n][e] = 0.f;
}

// scores = rows . stream^T; `row0` is the warp's first row in its tile.
template <int MT, int N, int HD, int UNROLL = HD / 16, class T>
AMX_DEVICE void product_rows(float (&scores)[MT][N / 8][4], const T* rows, int row0, const T* stream) {
  const int lane = recomputed(threadIdx.x & 31);
  clear(scores);
#pragma unroll UNROLL
  for (int k = 0; k < HD / 16; ++k) {
    u32 a[MT][4];
#pragma unroll
    for (int m = 0; m < MT; ++m)
      ldmatrix(a[m], rows + tile_at<HD>(row0 + m * 16 + (lane & 15), 2 * k + (lane >> 4)));
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      u32 b[4];
      ldmatrix(b, stream + tile_at<HD>(n * 16 + (lane & 7) + (lane >> 4) * 8, 2 * k + (lane >> 3 & 1)));
#pragma unroll
      for (int m = 0; m < MT; ++m) {
        mma_16816(scores[m][2 * n], a[m], b[0], b[1], T{});
        mma_16816(scores[m][2 * n + 1], a[m], b[2], b[3], T{});
      }
    }
  }
}

// sums += weights . stream.
template <int MT, int N, int HD, class T>
AMX_DEVICE void product_sums(float (&sums)[MT][HD / 8][4], const float (&weights)[MT][N / 8][4], const T* stream) {
  const int lane = recomputed(threadIdx.x & 31);
#pragma unroll
  for (int k = 0; k < N / 16; ++k) {
    u32 a[MT][4];
#pragma unroll
    for (int m = 0; m < MT; ++m)
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        const float* pair = &weights[m][2 * k + part / 2][part % 2 * 2];
        a[m][part] = round_pair(pair[0], pair[1], T{});
      }
#pragma unroll
    for (int n = 0; n < HD / 16; ++n) {
      u32 b[4];
      ldmatrix_transposed(b, stream + tile_at<HD>(k * 16 + (lane & 15), 2 * n + (lane >> 4)));
#pragma unroll
      for (int m = 0; m < MT; ++m) {
        mma_16816(sums[m][2 * n], a[m], b[0], b[1], T{});
        mma_16816(sums[m][2 * n + 1], a[m], b[2], b[3], T{});
      }
    }
  }
}

// Visit each element of a score tile: f(element, row in the warp's tile, column, row slot 0 .. 2 MT - 1).
template <int MT, int COLUMNS, class F>
AMX_DEVICE void each_score(float (&scores)[MT][COLUMNS][4], F f) {
  const int lane = recomputed(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int n = 0; n < COLUMNS; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        f(scores[m][n][e], m * 16 + g + 8 * (e >> 1), n * 8 + 2 * t + (e & 1), 2 * m + (e >> 1));
}

// Two tiles side by side: f(element of x, element of y, row, column, slot).
template <int MT, int COLUMNS, class F>
AMX_DEVICE void each_pair(float (&x)[MT][COLUMNS][4], float (&y)[MT][COLUMNS][4], F f) {
  const int lane = recomputed(threadIdx.x & 31), g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int m = 0; m < MT; ++m)
#pragma unroll
    for (int n = 0; n < COLUMNS; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        f(x[m][n][e], y[m][n][e], m * 16 + g + 8 * (e >> 1), n * 8 + 2 * t + (e & 1), 2 * m + (e >> 1));
}

// Close to tanh within a few 1e-7 in absolute terms, which is what the error of a score of half types is measured by.
AMX_DEVICE float tanh_quick(float x) {
  return 1.f - __fdividef(2.f, 1.f + exp2_quick(x * (2.f * Base2<float>::log2_e)));
}

// Which query and which key an element of a score tile belongs to.
template <bool KEYS_IN_ROWS>
struct Corner {
  int row, column;  // of the tile's first element
  AMX_DEVICE int query(int r, int c) const { return KEYS_IN_ROWS ? column + c : row + r; }
  AMX_DEVICE int key(int r, int c) const { return KEYS_IN_ROWS ? row + r : column + c; }
};

template <bool K, int MT, int COLUMNS, class B>
AMX_DEVICE void add_bias(float (&scores)[MT][COLUMNS][4], const Scorer<float>& score, Corner<K> at) {
  const B* const bias = static_cast<const B*>(score.bias);
  each_score(scores, [&](float& x, int r, int c, int) {
    const int i = at.query(r, c), j = at.key(r, c);
    if (score.band.holds(i, j)) x += widen(bias[i * score.bias_i + j * score.bias_j]);
  });
}

// Products to scores with every option, -inf where a pair takes no part: one sweep per option in use, because one
// sweep with all of them, unrolled over the tile, would be a very large kernel.
template <class T, bool K, int MT, int COLUMNS>
AMX_DEVICE void score_by_element(float (&scores)[MT][COLUMNS][4], const Scorer<float>& score, Corner<K> at) {
  each_score(scores, [&](float& x, int, int, int) { x = rounded_product(x, score.scale); });
  if (score.cap != 0.f) {
    const float inverse = __fdividef(1.f, score.cap);
    each_score(scores, [&](float& x, int, int, int) { x = score.cap * tanh_quick(x * inverse); });
  }
  if (score.bias != nullptr) {
    if (score.bias_kind == FLOAT32) {
      add_bias<K, MT, COLUMNS, float>(scores, score, at);
    } else {
      add_bias<K, MT, COLUMNS, T>(scores, score, at);
    }
  }
  if (score.sloped)
    each_score(scores, [&](float& x, int r, int c, int) {
      x -= score.slope * float(score.distance(at.query(r, c), at.key(r, c)));
    });
  each_score(scores, [&](float& x, int r, int c, int) {
    x = score.band.holds(at.query(r, c), at.key(r, c)) ? rounded_product(x, Base2<float>::log2_e) : -infinity<float>();
  });
  if (score.mask != nullptr)
    each_score(scores, [&](float& x, int r, int c, int) {
      const int i = at.query(r, c), j = at.key(r, c);
      if (x != -infinity<float>() && !score.mask[i * score.mask_i + j * score.mask_j]) x = -infinity<float>();
    });
}

// Row of slot s (see each_score) within the warp's rows.
AMX_DEVICE int slot_row(int s) { return (s >> 1) * 16 + (s & 1) * 8 + ((threadIdx.x & 31) >> 2); }

// Over the four lanes that share a row.
AMX_DEVICE float quad_sum(float x) {
  x += __shfl_xor_sync(AMX_FULL_WARP, x, 1);
  return x + __shfl_xor_sync(AMX_FULL_WARP, x, 2);
}
AMX_DEVICE float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(AMX_FULL_WARP, x, 1));
  return fmaxf(x, __shfl_xor_sync(AMX_FULL_WARP, x, 2));
}

// Write the warp's rows of `sums`, times `factor(slot)`, as rows [row, row + 16 MT) of a dense (rows, width) matrix.
// Rounded results pass through the warp's own rows of `tile`, so that global memory is written in whole lines.
template <int MT, int HD, class T, class F>
AMX_DEVICE void store_rows(T* out, const float (&sums)[MT][HD / 8][4], T* tile, int row0, int row, int rows, int width,
                           F factor) {
  constexpr int CHUNKS = HD / 8;
  const int lane = threadIdx.x & 31, t = lane & 3;
#pragma unroll
  for (int s = 0; s < 2 * MT; ++s) {
    const float scale = factor(s);
#pragma unroll
    for (int n = 0; n < CHUNKS; ++n) {
      const float* pair = &sums[s >> 1][n][2 * (s & 1)];
      *reinterpret_cast<u32*>(tile + tile_at<HD>(row0 + slot_row(s), n) + 2 * t) =
          round_pair(pair[0] * scale, pair[1] * scale, T{});
    }
  }
  __syncwarp();
  for (int c = lane; c < 16 * MT * CHUNKS; c += 32) {
    const int r = c / CHUNKS, column = c % CHUNKS * 8;
    if (row + r >= rows || column >= width) continue;
    const pack<T, 8> line = *reinterpret_cast<const pack<T, 8>*>(tile + tile_at<HD>(row0 + r, c % CHUNKS));
    T* to = out + i64(row + r) * width + column;
    if (width % 8 == 0) {
      *reinterpret_cast<pack<T, 8>*>(to) = line;
    } else {
      for (int x = 0; x < 8 && column + x < width; ++x) to[x] = line.at[x];
    }
  }
}

// The same without rounding, for parts that are summed later.
template <int MT, int HD, class F>
AMX_DEVICE void store_wide(float* out, const float (&sums)[MT][HD / 8][4], int row, int rows, int width, F factor) {
  const int t = threadIdx.x & 3;
#pragma unroll
  for (int s = 0; s < 2 * MT; ++s) {
    const int r = row + slot_row(s);
    const float scale = factor(s);
    if (r >= rows) continue;
#pragma unroll
    for (int n = 0; n < HD / 8; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e)
        if (n * 8 + 2 * t + e < width)
          out[i64(r) * width + n * 8 + 2 * t + e] = sums[s >> 1][n][2 * (s & 1) + e] * scale;
  }
}
