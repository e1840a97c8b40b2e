// What kernels may ask of the runtime (../runtime/*.cpp), and the CUDA words that map onto it directly.
#pragma once
#include "shim_language.h"

namespace cuda_shim {

// The running fiber as its kernel sees it.
struct Context {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
  unsigned linear, lane, warp;  // index in the block, index in the warp, index of the warp
};
extern thread_local Context* context;

constexpr unsigned shared_limit = 232448;  // 227 KiB: the most a block can have on any current GPU

void block_barrier();
int block_barrier_count(int predicate);  // how many threads of the block gave a non-zero predicate
int block_size();
void warp_barrier(unsigned mask);

// Meet the other lanes of `mask`, leaving `size` (at most 64) bytes; returns every lane's bytes, by lane number.
const void* const* warp_exchange(unsigned mask, const void* mine, unsigned size);

[[noreturn]] void trap(const char* why);

unsigned char* dynamic_shared();
unsigned shared_address(const void* pointer);  // position in the 32-bit shared window

void note_read(const void* pointer, unsigned size);  // a read that compiler instrumentation does not see
void note_atomic(const void* pointer, unsigned size, void* program_counter);

void async_copy(void* shared, const void* global, unsigned size, unsigned valid);  // zeros after `valid` bytes
void async_commit();
void async_wait(int groups_left);

}  // namespace cuda_shim

#define threadIdx (cuda_shim::context->thread)
#define blockIdx (cuda_shim::context->block)
#define blockDim (cuda_shim::context->block_dim)
#define gridDim (cuda_shim::context->grid_dim)
constexpr int warpSize = 32;

inline void __syncthreads() { cuda_shim::block_barrier(); }
inline int __syncthreads_count(int p) { return cuda_shim::block_barrier_count(p); }
inline int __syncthreads_and(int p) { return cuda_shim::block_barrier_count(p) == cuda_shim::block_size(); }
inline int __syncthreads_or(int p) { return cuda_shim::block_barrier_count(p) != 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) { cuda_shim::warp_barrier(mask); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __trap() { cuda_shim::trap("__trap()"); }
inline unsigned __cvta_generic_to_shared(const void* p) { return cuda_shim::shared_address(p); }
