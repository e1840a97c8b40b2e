// Fibers: stacks, and a switch that saves callee-saved registers only.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cuda_shim {

constexpr size_t stack_size = 128 * 1024;
constexpr size_t red_zone = 256 * 1024;  // below each stack: who goes too deep lands here and can be reported

// Stacks for the threads of one block, side by side in one mapping: a process may have only so many mappings.
class Stacks {
 public:
  explicit Stacks(unsigned count);
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  char* operator[](unsigned index) const { return start_ + index * (red_zone + stack_size) + red_zone; }

 private:
  char* start_;
  size_t size_;
};

void* first_frame(char* stack, void (*entry)());          // stack pointer of a fiber that will start at `entry`
bool has_overflown(const char* stack);                    // since its first frame was made
extern "C" void cuda_shim_switch(void** save, void* to);  // store our stack pointer, go on at another one

}  // namespace cuda_shim
