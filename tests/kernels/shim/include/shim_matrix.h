// mma.sync.m16n8k16 (f32 += 16-bit x 16-bit) and ldmatrix.x4, by the layouts of the PTX ISA, sections "Matrix
// Fragments for mma.m16n8k16" and "ldmatrix": what include/mma.cuh calls where there is no PTX.
// Sums run in order in float; hardware rounds differently, so compare with a tolerance.
#pragma once
#include "shim_half.h"
#include "shim_runtime.h"

namespace cuda_shim {

struct HalfBits {
  static float widen(uint16_t bits) { return half_to_float(bits); }
};
struct Bfloat16Bits {
  static float widen(uint16_t bits) { return __uint_as_float(unsigned(bits) << 16); }
};

template <class Bits>
SHIM_UNCHECKED inline float half_of_register(const void* lane, int reg, int high) {
  unsigned pair;
  std::memcpy(&pair, static_cast<const char*>(lane) + 4 * reg, 4);
  return Bits::widen(high ? pair >> 16 : pair & 0xffff);
}

// c (16 x 8) += a (16 x 16) b (16 x 8); Bits is HalfBits or Bfloat16Bits.
template <class Bits>
SHIM_UNCHECKED inline void mma_16x8x16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  unsigned mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  const void* const* lanes = warp_exchange(0xffffffffu, mine, sizeof mine);
  int group = context->lane >> 2, in_group = context->lane & 3;
  for (int i = 0; i < 4; i++) {
    int row = group + 8 * (i >> 1), column = 2 * in_group + (i & 1);
    float sum = 0;
    for (int k = 0; k < 16; k++) {
      int pair = (k & 7) >> 1, upper = k >> 3;
      float left = half_of_register<Bits>(lanes[(row & 7) * 4 + pair], (row >> 3) + 2 * upper, k & 1);
      float right = half_of_register<Bits>(lanes[column * 4 + pair], 4 + upper, k & 1);
      sum += left * right;
    }
    c[i] += sum;
  }
}

// Four 8 x 8 matrices of 16-bit numbers; lane l gives the address of row l % 8 of matrix l / 8.
SHIM_UNCHECKED inline void ldmatrix_x4(unsigned (&out)[4], const void* row_address, bool transposed) {
  if (reinterpret_cast<uintptr_t>(row_address) % 16) trap("ldmatrix: row address not 16-byte aligned");
  const void* const* lanes = warp_exchange(0xffffffffu, &row_address, sizeof row_address);
  int lane = context->lane;
  for (int matrix = 0; matrix < 4; matrix++) {
    uint16_t pair[2];
    for (int e = 0; e < 2; e++) {
      int row = transposed ? 2 * (lane & 3) + e : lane >> 2;
      int column = transposed ? lane >> 2 : 2 * (lane & 3) + e;
      const char* base;
      std::memcpy(&base, lanes[matrix * 8 + row], sizeof base);
      note_read(base + 2 * column, 2);
      std::memcpy(&pair[e], base + 2 * column, 2);
    }
    out[matrix] = pair[0] | unsigned(pair[1]) << 16;
  }
}

}  // namespace cuda_shim
