// Qualifiers, vector types and attributes of CUDA C++.
#pragma once
#include <math.h>  // <math.h> rather than <cmath>: exp(float) and the like as global overloads, as in CUDA
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static const
#define __shared__ thread_local  // at block scope this implies static

// For code of the shim itself inside instrumented kernels: the checker must not see its accesses.
#define SHIM_UNCHECKED __attribute__((no_sanitize("thread", "undefined")))

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

#define SHIM_VECTOR_TYPES(scalar, name)                                                                       \
  struct alignas(2 * sizeof(scalar)) name##2 {                                                                \
    scalar x, y;                                                                                              \
  };                                                                                                          \
  struct name##3 {                                                                                            \
    scalar x, y, z;                                                                                           \
  };                                                                                                          \
  struct alignas(4 * sizeof(scalar) > 16 ? 16 : 4 * sizeof(scalar)) name##4 {                                 \
    scalar x, y, z, w;                                                                                        \
  };                                                                                                          \
  inline name##2 make_##name##2(scalar a, scalar b) { return {a, b}; }                                        \
  inline name##4 make_##name##4(scalar a, scalar b, scalar c, scalar d) { return {a, b, c, d}; }
SHIM_VECTOR_TYPES(float, float)
SHIM_VECTOR_TYPES(double, double)
SHIM_VECTOR_TYPES(int, int)
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline uint2 make_uint2(unsigned a, unsigned b) { return {a, b}; }
inline uint4 make_uint4(unsigned a, unsigned b, unsigned c, unsigned d) { return {a, b, c, d}; }
