// Classic mistakes, one kernel each, next to a correct twin where there is one.
#include "device.cuh"

__global__ void divergent_barrier(float* y) {
  if (threadIdx.x < 32) __syncthreads();
  y[threadIdx.x] = 1;
}

__global__ void exit_before_shuffle(float* y, int n) {
  if (int(threadIdx.x) >= n) return;
  y[threadIdx.x] = warp_sum(1.0f);
}

__global__ void uninitialised_shared(float* y) {
  __shared__ float s[64];
  if (threadIdx.x < 63) s[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
}

__global__ void static_shared_bounds(float* y) {
  __shared__ float s[32];
  s[threadIdx.x % 33] = 1;
  __syncthreads();
  y[threadIdx.x] = s[0];
}

__global__ void dynamic_shared_bounds(float* y) {
  AMX_DYNAMIC_SHARED(float, s);
  s[threadIdx.x + 1] = 1;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}

__global__ void global_read_bounds(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x * 2]; }
__global__ void global_write_bounds(float* y) { y[threadIdx.x + 1] = 1; }

__global__ void two_blocks_one_element(float* y) { y[threadIdx.x] = float(blockIdx.x); }

__global__ void plain_accumulate(float* total) { total[0] += 1.0f; }
__global__ void atomic_accumulate(float* total) { atomicAdd(&total[0], 1.0f); }

__global__ void misaligned_vector(const float* x, float* y) {
  float4 v = *reinterpret_cast<const float4*>(x + 1 + 4 * threadIdx.x);
  y[threadIdx.x] = v.x + v.w;
}

__global__ void write_read_only(const float* x, float* y) {
  const_cast<float*>(x)[threadIdx.x] = 0;
  y[threadIdx.x] = 1;
}

template <bool BARRIER>
__global__ void warp_reverse(float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = float(threadIdx.x);
  if (BARRIER) __syncwarp();
  y[threadIdx.x] = s[31 - threadIdx.x];
}

template <bool BARRIER>
__global__ void block_reverse(float* y) {
  __shared__ float s[64];
  s[threadIdx.x] = float(threadIdx.x);
  if (BARRIER) __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
}

// Sums tiles of 64 numbers, loading the next tile while the last is read. Without the trailing barrier a fast thread
// overwrites the tile that a slow one still reads: right in every order of a simulator, wrong on a device.
template <bool BARRIER>
__global__ void double_buffer(const float* x, float* y, int tiles) {
  __shared__ float s[2][64];
  float sum = 0;
  s[0][threadIdx.x] = x[threadIdx.x];
  for (int tile = 0; tile < tiles; tile++) {
    if (tile + 1 < tiles) s[(tile + 1) % 2][threadIdx.x] = x[(tile + 1) * 64 + threadIdx.x];
    __syncthreads();
    for (int i = 0; i < 64; i++) sum += s[tile % 2][i];
    if (BARRIER) __syncthreads();
  }
  y[threadIdx.x] = sum;
}

__global__ void shift_too_far(int* y, int k) { y[threadIdx.x] = 1 << (k + threadIdx.x); }

__global__ void output_left_out(float* y, int n) {
  if (int(threadIdx.x) < n) y[threadIdx.x] = 1;
}

__global__ void output_written_twice(float* y) {
  y[threadIdx.x] = 1;
  y[threadIdx.x] = 2;
}

__global__ void large_locals(float* y, int n) {
  volatile float local[40000];
  for (int i = 0; i < n; i++) local[i] = float(i);
  y[threadIdx.x] = local[n - 1];
}
