// float16 and bfloat16 as bits: round to nearest even, NaN stays a quiet NaN.
#pragma once
#include "shim_arithmetic.h"

namespace cuda_shim {

inline uint16_t float_to_bfloat16(float x) {
  unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return uint16_t((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

inline float half_to_float(uint16_t half) {
  unsigned sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31, mantissa = half & 0x3ff;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return __uint_as_float(sign | (exponent + 112) << 23 | mantissa << 13);
  float subnormal = mantissa * (1.0f / 16777216.0f);
  return sign ? -subnormal : subnormal;
}

inline uint16_t float_to_half(float x) {
  unsigned bits = __float_as_uint(x), sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return 0x7fff;
  if (bits >= 0x477ff000u) return uint16_t(sign | 0x7c00);  // 65520 and above round to infinity
  if (bits < 0x38800000u) {                                 // below 2^-14: a multiple of 2^-24
    return uint16_t(sign | unsigned(rintf(__uint_as_float(bits) * 16777216.0f)));
  }
  bits -= 0x38000000u;
  return uint16_t(sign | ((bits + 0xfffu + ((bits >> 13) & 1)) >> 13));
}

}  // namespace cuda_shim
