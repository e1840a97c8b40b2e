// Fibers: a stack each, and a switch that saves callee-saved registers only.
#pragma once
#include <cstddef>

namespace cuda_shim {

constexpr size_t stack_size = 128 * 1024;

char* new_stack();                                        // lives as long as the process; a guard page below it
void* first_frame(char* stack, void (*entry)());          // stack pointer of a fiber that will start at `entry`
extern "C" void cuda_shim_switch(void** save, void* to);  // store our stack pointer, go on at another one

}  // namespace cuda_shim
