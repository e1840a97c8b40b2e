// device.cuh -- what every kernel may use. Together with mma.cuh this is the only file with PTX or #if: kernels
// themselves are plain C++ that NVRTC compiles for a GPU and that a C++ compiler runs on a CPU in the tests.
// No CUDA header is included (they are missing from many installations), so half types are bits plus conversions.

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define AMX_ON_GPU 1
#else
#define AMX_ON_GPU 0
#endif

#define AMX_DEVICE __device__ __forceinline__
#define AMX_FULL_WARP 0xffffffffu

typedef unsigned int u32;
typedef long long i64;

// Dynamic shared memory as an array of T. One block of it per kernel: carve pieces out of it by hand.
#if AMX_ON_GPU
#define AMX_DYNAMIC_SHARED(T, name)                                  \
  extern __shared__ __align__(1024) unsigned char amx_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(amx_dynamic_shared)
#else
#define AMX_DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(cuda_shim::dynamic_shared())
#endif

// ---------------------------------------------------------------------------------------------- half types
struct __align__(2) f16 {
  unsigned short bits;
};
struct __align__(2) bf16 {
  unsigned short bits;
};

#if AMX_ON_GPU
AMX_DEVICE float float_of(f16 x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}
AMX_DEVICE f16 round_to(float x, f16) {
  f16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
AMX_DEVICE bf16 round_to(float x, bf16) {
  bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
// Two numbers in one 32-bit register, the first in the low half.
AMX_DEVICE u32 round_pair(float low, float high, f16) {
  u32 y;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
AMX_DEVICE u32 round_pair(float low, float high, bf16) {
  u32 y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
#else
AMX_DEVICE float float_of(f16 x) { return cuda_shim::half_to_float(x.bits); }
AMX_DEVICE f16 round_to(float x, f16) { return {cuda_shim::float_to_half(x)}; }
AMX_DEVICE bf16 round_to(float x, bf16) { return {cuda_shim::float_to_bfloat16(x)}; }
AMX_DEVICE u32 round_pair(float low, float high, f16) {
  return cuda_shim::float_to_half(low) | u32(cuda_shim::float_to_half(high)) << 16;
}
AMX_DEVICE u32 round_pair(float low, float high, bf16) {
  return cuda_shim::float_to_bfloat16(low) | u32(cuda_shim::float_to_bfloat16(high)) << 16;
}
#endif
AMX_DEVICE float float_of(bf16 x) { return __uint_as_float(u32(x.bits) << 16); }

// ------------------------------------------------------------------------- storage type <-> arithmetic type
// Half types compute in float, float in float, double in double.
template <class T>
struct wide_type {
  typedef float type;
};
template <>
struct wide_type<double> {
  typedef double type;
};
template <class T>
using wide = typename wide_type<T>::type;

AMX_DEVICE float widen(float x) { return x; }
AMX_DEVICE double widen(double x) { return x; }
AMX_DEVICE float widen(f16 x) { return float_of(x); }
AMX_DEVICE float widen(bf16 x) { return float_of(x); }
AMX_DEVICE float round_to(float x, float) { return x; }
AMX_DEVICE double round_to(double x, double) { return x; }

// narrow<T>(x): round an arithmetic value to the storage type, once.
template <class T>
AMX_DEVICE T narrow(wide<T> x) {
  return round_to(x, T{});
}

// N neighbours moved by one load or store; the address must be a multiple of the size.
template <class T, int N>
struct __align__(sizeof(T) * N) pack {
  T at[N];
};

// --------------------------------------------------------------------------------------------- numbers
template <class F>
AMX_DEVICE F infinity();
template <>
AMX_DEVICE float infinity<float>() {
  return __int_as_float(0x7f800000);
}
template <>
AMX_DEVICE double infinity<double>() {
  return __longlong_as_double(0x7ff0000000000000ll);
}
template <class F>
AMX_DEVICE F quiet_nan() {
  return infinity<F>() - infinity<F>();
}

// A product that the compiler may not fuse with a later sum, so that it is the same number wherever it is formed.
AMX_DEVICE float rounded_product(float a, float b) { return __fmul_rn(a, b); }
AMX_DEVICE double rounded_product(double a, double b) { return __dmul_rn(a, b); }

// ------------------------------------------------------------------------------------ reductions in a warp
// All 32 lanes take part and all get the result. max drops NaN (as fmaxf does).
template <class F>
AMX_DEVICE F warp_max(F x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = fmax(x, __shfl_xor_sync(AMX_FULL_WARP, x, step));
  return x;
}
template <class F>
AMX_DEVICE F warp_sum(F x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(AMX_FULL_WARP, x, step);
  return x;
}
