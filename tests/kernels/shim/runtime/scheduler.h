// One block at a time on this thread: its fibers, who waits for what, and the order in which they go on.
#pragma once
#include <atomic>
#include <random>
#include <vector>

#include "../include/shim_runtime.h"
#include "fiber.h"
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

namespace cuda_shim {

enum class State : unsigned char { ready, at_block_barrier, at_warp_barrier, done };
enum Order : int { ascending = 0, descending = 1, shuffled = 2 };

// A cp.async that has been issued and not yet waited for.
struct PendingCopy {
  unsigned char* to;
  const unsigned char* from;
  unsigned size, valid;
  int group;
};

struct Fiber {
  Context context;
  void* stack_pointer;
  char* stack = nullptr;
  State state;
  unsigned warp_mask;                      // lanes it waits for
  unsigned block_interval, warp_interval;  // how many block / warp barriers it has passed
  const void* deposit;                     // what it brings to a warp exchange
  int predicate;                           // what it brings to __syncthreads_count
  int copy_group;
  std::vector<PendingCopy> copies;
};

// What the last lane to arrive at an exchange collected from all of them.
struct Exchange {
  alignas(16) unsigned char bytes[32][64];
  const void* lanes[32];
};

typedef void (*Thunk)(void** args);

struct Launch {
  dim3 grid, block;
  unsigned shared_size;
  Thunk kernel;
  void** args;
  int order;
  unsigned seed;
};

class Scheduler {
 public:
  explicit Scheduler(const Launch& launch);
  void run_block(uint3 block);
  bool stopped() const { return stopped_; }

  // Called by the running fiber.
  void block_barrier();
  int block_barrier_count(int predicate);
  void warp_barrier(unsigned mask);
  const void* const* warp_exchange(unsigned mask, const void* mine, unsigned size);
  void async_copy(void* to, const void* from, unsigned size, unsigned valid, void* program_counter);
  void async_wait(int groups_left, void* program_counter);
  void stop();         // give up the block; never returns to the fiber
  void finish_fiber();  // likewise, at a kernel's end

  Fiber* running = nullptr;
  const Launch& launch;
  const unsigned size;  // threads in the block
  bool owns(const void* pointer) const;  // is it one of the scheduler's own records, or the running fiber's stack?

 private:
  void start_fibers(uint3 block);
  void switch_to(Fiber* next);
  void leave();   // back to run_block
  void wait();    // run somebody else
  void enqueue(unsigned index);
  void release_block();
  bool arrive_at_warp(unsigned mask);
  void release_warp(unsigned mask, bool is_barrier);
  void reorder(size_t from);
  void report_deadlock();

  Stacks stacks_;
  std::vector<Fiber> fibers_;
  std::vector<unsigned> queue_;
  size_t next_ = 0;
  std::vector<Exchange> of_warp_, of_thread_;  // full warps share one; a smaller mask gets one per thread
  unsigned alive_ = 0, arrived_ = 0;
  int count_ = 0;
  void* main_stack_pointer_ = nullptr;
  bool stopped_ = false;
  std::mt19937 random_;
};

extern thread_local Scheduler* scheduler __attribute__((visibility("hidden")));

}  // namespace cuda_shim
