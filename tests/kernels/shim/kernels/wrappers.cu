// The PTX wrappers of mma.cuh on numbers whose products are exact: on a device and in the emulation the same bits.
#include "mma.cuh"

// c (16 x 8) = a (16 x 16) b (16 x 8), all row-major, by one warp; fragments through ldmatrix, or straight from memory.
template <class T, bool THROUGH_LDMATRIX>
__global__ void matrix_product(const T* a, const T* b, float* c) {
  __shared__ __align__(16) T sa[16 * 16];
  __shared__ __align__(16) T sb[16 * 8];
  const int lane = threadIdx.x, g = lane / 4, t = lane % 4;
  for (int i = lane; i < 16 * 16; i += 32) sa[i] = a[i];
  for (int i = lane; i < 16 * 8; i += 32) sb[i] = b[i];
  __syncwarp();
  u32 fa[4], fb[4];
  if (THROUGH_LDMATRIX) {
    // Matrices 0 to 3 of a: upper left, lower left, upper right, lower right. b has two: repeat them.
    ldmatrix(fa, &sa[(lane % 16) * 16 + lane / 16 * 8]);
    ldmatrix_transposed(fb, &sb[(lane % 16) * 8]);
  } else {
    auto pair = [](T low, T high) { return u32(low.bits) | u32(high.bits) << 16; };
    for (int i = 0; i < 4; i++) {
      const T* at = &sa[(g + 8 * (i % 2)) * 16 + 2 * t + 8 * (i / 2)];
      fa[i] = pair(at[0], at[1]);
    }
    for (int i = 0; i < 2; i++) {
      const T* at = &sb[(2 * t + 8 * i) * 8 + g];
      fb[i] = pair(at[0], at[8]);
    }
  }
  float acc[4] = {0, 0, 0, 0};
  mma_16816(acc, fa, fb[0], fb[1], T{});
  for (int i = 0; i < 4; i++) c[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = acc[i];
}

// Sums tiles of 4 numbers a thread, copied asynchronously one tile ahead. LEFT = 1 is right, 2 is one too lax.
template <int LEFT>
__global__ void copy_ahead(const float* x, float* y, int tiles) {
  __shared__ __align__(16) float s[2][128];
  const int thread = threadIdx.x;
  auto start = [&](int tile) {
    if (tile < tiles) copy_async_16(&s[tile % 2][4 * thread], x + tile * 128 + 4 * thread, 16);
    copy_async_commit();
  };
  start(0);
  float sum = 0;
  for (int tile = 0; tile < tiles; tile++) {
    start(tile + 1);
    copy_async_wait<LEFT>();
    __syncthreads();
    for (int i = 0; i < 4; i++) sum += s[tile % 2][(4 * thread + i + 1) % 128];
    __syncthreads();
  }
  y[thread] = sum;
}

__global__ void copy_and_forget(const float* x, float* y) {
  __shared__ __align__(16) float s[128];
  copy_async_16(&s[4 * threadIdx.x], x + 4 * threadIdx.x, 16);
  copy_async_commit();
  y[threadIdx.x] = 0;
}

// The conversions of device.cuh, there and back.
template <class T>
__global__ void round_trip(const float* x, T* narrowed, float* widened, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  narrowed[i] = narrow<T>(x[i]);
  widened[i] = widen(narrow<T>(x[i]));
}
