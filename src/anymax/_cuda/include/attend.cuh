// attend.cuh -- what all attention kernels share: the plan of one call, the place of one (batch entry, head), which
// pairs take part, and how the product of a query and a key becomes a score.
//
// The tensor core kernels keep scores and running maxima in units of log 2, so that a weight is one exp2; the plain ones
// keep natural units, because one more rounded product would show in float32. Log-sum-exps leave kernels natural.
#include "device.cuh"

// Distance in elements between neighbours along up to three batch axes, the heads, and the two axes of a matrix;
// 0 repeats. Operands without an axis have 0 there.
struct Axes {
  i64 b0, b1, b2, h, i, j;
};

struct Plan {
  i64 b1, b2, heads, group, rows, cols, depth, depth_v;  // sizes: batch axes 1 and 2, query heads, heads per key head
  Axes q, k, v, mask, bias, sink, slopes, q_lengths, k_lengths;
  i64 left, right, upper_left;  // the band: i + off - left <= j <= i + off + right
  i64 extras, vector;           // any of mask, bias, slopes, softcap? bits 0 to 3: 16-byte copies fit q, k, v, dout
  i64 bias_kind, sink_kind, slopes_kind, q_lengths_bytes, k_lengths_bytes;
  double scale, softcap;        // softcap 0: none
};

// A kernel takes its plan as scalars (the launch code packs nothing but scalars and addresses) and puts it together.
#define ATTEND_AXES(n) i64 n##_b0, i64 n##_b1, i64 n##_b2, i64 n##_h, i64 n##_i, i64 n##_j
#define ATTEND_PLAN_PARAMS                                                                                    \
  i64 b1, i64 b2, i64 heads, i64 group, i64 rows, i64 cols, i64 depth, i64 depth_v, ATTEND_AXES(q), ATTEND_AXES(k), \
      ATTEND_AXES(v), ATTEND_AXES(mask), ATTEND_AXES(bias), ATTEND_AXES(sink), ATTEND_AXES(slopes),           \
      ATTEND_AXES(q_lengths), ATTEND_AXES(k_lengths), i64 left, i64 right, i64 upper_left, i64 extras,        \
      i64 vector, i64 bias_kind, i64 sink_kind, i64 slopes_kind, i64 q_lengths_bytes, i64 k_lengths_bytes,    \
      double scale, double softcap
#define ATTEND_BUILD_AXES(n) {n##_b0, n##_b1, n##_b2, n##_h, n##_i, n##_j}
#define ATTEND_PLAN                                                                                           \
  Plan {                                                                                                      \
    b1, b2, heads, group, rows, cols, depth, depth_v, ATTEND_BUILD_AXES(q), ATTEND_BUILD_AXES(k),             \
        ATTEND_BUILD_AXES(v), ATTEND_BUILD_AXES(mask), ATTEND_BUILD_AXES(bias), ATTEND_BUILD_AXES(sink),      \
        ATTEND_BUILD_AXES(slopes), ATTEND_BUILD_AXES(q_lengths), ATTEND_BUILD_AXES(k_lengths), left, right,   \
        upper_left, extras, vector, bias_kind, sink_kind, slopes_kind, q_lengths_bytes, k_lengths_bytes,      \
        scale, softcap                                                                                        \
  }

// ------------------------------------------------------------------------------------------- loose operands
// Small operands may have another dtype than q: their kind is a number.
enum Kind { FLOAT32, FLOAT64, FLOAT16, BFLOAT16 };

template <class A>
AMX_DEVICE A read_as(const void* x, i64 at, int kind) {
  if (kind == FLOAT32) return A(static_cast<const float*>(x)[at]);
  if (kind == FLOAT64) return A(static_cast<const double*>(x)[at]);
  if (kind == FLOAT16) return A(widen(static_cast<const f16*>(x)[at]));
  return A(widen(static_cast<const bf16*>(x)[at]));
}

template <class A>
AMX_DEVICE void write_as(void* x, i64 at, int kind, A value) {
  if (kind == FLOAT32) static_cast<float*>(x)[at] = float(value);
  if (kind == FLOAT64) static_cast<double*>(x)[at] = double(value);
  if (kind == FLOAT16) static_cast<f16*>(x)[at] = narrow<f16>(float(value));
  if (kind == BFLOAT16) static_cast<bf16*>(x)[at] = narrow<bf16>(float(value));
}

template <class A>
struct Base2;  // log2(e) and ln(2)
template <>
struct Base2<float> {
  static constexpr float log2_e = 1.44269504f, ln_2 = 0.693147181f;
};
template <>
struct Base2<double> {
  static constexpr double log2_e = 1.4426950408889634074, ln_2 = 0.69314718055994530942;
};

// ------------------------------------------------------------------------------------------------- one place
// One batch entry: its coordinates and its valid lengths.
struct Entry {
  int b0, b1, b2, flat;
  int q_length, k_length, off;

  AMX_DEVICE i64 at(const Axes& x, int head) const { return b0 * x.b0 + b1 * x.b1 + b2 * x.b2 + head * x.h; }
};

AMX_DEVICE int valid_length(const void* lengths, i64 at, i64 bytes, i64 size) {
  if (lengths == nullptr) return int(size);
  const i64 n = bytes == 8 ? static_cast<const i64*>(lengths)[at] : i64(static_cast<const int*>(lengths)[at]);
  return int(n < 0 ? 0 : n < size ? n : size);
}

AMX_DEVICE Entry entry_of(const Plan& plan, unsigned flat, const void* q_lengths, const void* k_lengths) {
  Entry e;
  e.flat = int(flat);
  e.b2 = int(flat % unsigned(plan.b2));
  e.b1 = int(flat / unsigned(plan.b2) % unsigned(plan.b1));
  e.b0 = int(flat / unsigned(plan.b2) / unsigned(plan.b1));
  e.q_length = valid_length(q_lengths, e.at(plan.q_lengths, 0), plan.q_lengths_bytes, plan.rows);
  e.k_length = valid_length(k_lengths, e.at(plan.k_lengths, 0), plan.k_lengths_bytes, plan.cols);
  e.off = plan.upper_left ? 0 : e.k_length - e.q_length;
  return e;
}

// A half-open range of indices; empty when first >= last.
struct Range {
  int first, last;
};
AMX_DEVICE int floor_to(int x, int step) { return x / step * step; }

// Which pairs (query i, key j) the lengths and the band let through. Lengths stay below 2^28 and unbounded sides are
// 2^28, so no sum here overflows.
struct Band {
  int off, left, right, q_length, k_length;

  AMX_DEVICE bool holds(int i, int j) const {
    const int d = j - i - off;
    return i < q_length && j < k_length && d >= -left && d <= right;
  }
  // Does every pair of [i0, i1) x [j0, j1) take part?
  AMX_DEVICE bool holds_all(int i0, int i1, int j0, int j1) const {
    return i1 <= q_length && j1 <= k_length && j0 - (i1 - 1) - off >= -left && (j1 - 1) - i0 - off <= right;
  }
  // Keys that some query of [i0, i1) sees, the first rounded down to a multiple of `step`.
  AMX_DEVICE Range keys(int i0, int i1, int step) const {
    i1 = min(i1, q_length);
    if (i0 >= i1) return {0, 0};
    return {floor_to(max(0, i0 + off - left), step), min(k_length, i1 + off + right)};
  }
  // Queries that see some key of [j0, j1).
  AMX_DEVICE Range queries(int j0, int j1, int step) const {
    j1 = min(j1, k_length);
    if (j0 >= j1) return {0, 0};
    return {floor_to(max(0, j0 - off - right), step), min(q_length, j1 - off + left)};
  }
};

AMX_DEVICE Band band_of(const Plan& plan, const Entry& e) {
  return {e.off, int(plan.left), int(plan.right), e.q_length, e.k_length};
}

// ---------------------------------------------------------------------------------------------------- scores
// The (natural) score of a pair for one (batch entry, query head), with every option; -inf where it takes no part.
template <class A>
struct Scorer {
  const unsigned char* mask;
  const void* bias;
  i64 mask_i, mask_j, bias_i, bias_j;
  int bias_kind;
  bool sloped;
  A scale, cap, slope;
  Band band;

  AMX_DEVICE A operator()(A product, int i, int j) const {
    if (!band.holds(i, j)) return -infinity<A>();
    if (mask != nullptr && !mask[i * mask_i + j * mask_j]) return -infinity<A>();
    A x = rounded_product(product, scale);
    if (cap != A(0)) x = cap * tanh(x / cap);
    if (bias != nullptr) x += read_as<A>(bias, i * bias_i + j * bias_j, bias_kind);
    if (sloped) x -= slope * A(distance(i, j));
    return x;
  }
  AMX_DEVICE int distance(int i, int j) const { return abs(i + band.off - j); }
};

template <class A>
AMX_DEVICE Scorer<A> scorer_of(const Plan& plan, const Entry& e, int head, const unsigned char* mask, const void* bias,
                               const void* slopes) {
  Scorer<A> s;
  s.mask = mask == nullptr ? nullptr : mask + e.at(plan.mask, head);
  s.mask_i = plan.mask.i, s.mask_j = plan.mask.j;
  s.bias_kind = int(plan.bias_kind);
  const i64 bytes = s.bias_kind == FLOAT64 ? 8 : s.bias_kind == FLOAT32 ? 4 : 2;
  s.bias = bias == nullptr ? nullptr : static_cast<const char*>(bias) + bytes * e.at(plan.bias, head);
  s.bias_i = plan.bias.i, s.bias_j = plan.bias.j;
  s.sloped = slopes != nullptr;
  s.slope = s.sloped ? read_as<A>(slopes, e.at(plan.slopes, head), int(plan.slopes_kind)) : A(0);
  s.scale = A(plan.scale), s.cap = A(plan.softcap);
  s.band = band_of(plan, e);
  return s;
}

// ------------------------------------------------------------------------------------------------- bad rows
// Rows of q, k and v with a number that is not finite are marked by one bit each, 32 rows a word, words of a head
// side by side. Marked rows are read as zeros, so that nothing leaks through 0 * NaN.
AMX_DEVICE int words_of(i64 rows) { return int((rows + 31) / 32); }
AMX_DEVICE bool is_marked(const u32* words, int row) { return words[row >> 5] >> (row & 31) & 1; }

// The marks of rows [first, first + count), count a multiple of 32, as one "is any set?".
AMX_DEVICE bool any_marked(const u32* words, int first, int count, i64 rows) {
  u32 all = 0;
  for (int w = first >> 5; w < (first + count) >> 5; ++w) all |= w < words_of(rows) ? words[w] : 0;
  return all != 0;
}

// Zeros for the part of the bias gradient that a block of queries owns and no key tile covers.
template <class A>
AMX_DEVICE void clear_bias(void* dbias, i64 head_at, int kind, int i0, int i1, int j0, int j1, i64 cols) {
  const int width = j1 - j0;
  if (width <= 0) return;
  for (i64 c = threadIdx.x; c < i64(i1 - i0) * width; c += blockDim.x)
    write_as<A>(dbias, head_at + (i0 + c / width) * cols + j0 + c % width, kind, A(0));
}
