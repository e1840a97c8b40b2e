#include "fiber.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace cuda_shim {

namespace {
constexpr uint64_t mark = 0x5ca1ab1e0ddba11;  // at a stack's far end; whoever overwrites it has gone too deep
}

Stacks::Stacks(unsigned count) : size_(count * (red_zone + stack_size)) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* place = mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (place == MAP_FAILED) throw std::bad_alloc();
  start_ = static_cast<char*>(place);
}

Stacks::~Stacks() { munmap(start_, size_); }

bool has_overflown(const char* stack) {
  uint64_t found;
  std::memcpy(&found, stack, sizeof found);
  return found != mark;
}

static uintptr_t marked_top(char* stack) {
  std::memcpy(stack, &mark, sizeof mark);
  return (reinterpret_cast<uintptr_t>(stack) + stack_size) & ~uintptr_t(63);
}

#if defined(__x86_64__)
asm(R"(
.text
.globl cuda_shim_switch
.hidden cuda_shim_switch
.type cuda_shim_switch,@function
cuda_shim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_shim_switch,.-cuda_shim_switch
)");

void* first_frame(char* stack, void (*entry)()) {
  void** frame = reinterpret_cast<void**>(marked_top(stack));
  *--frame = nullptr;  // where `entry` would return to; also aligns the stack as after a call
  *--frame = reinterpret_cast<void*>(entry);
  for (int saved = 0; saved < 6; saved++) *--frame = nullptr;
  return frame;
}
#elif defined(__aarch64__)
// Written from the procedure call standard, not run yet: no such machine was at hand.
asm(R"(
.text
.globl cuda_shim_switch
.hidden cuda_shim_switch
cuda_shim_switch:
  sub sp, sp, #176
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #176
  ret
)");

void* first_frame(char* stack, void (*entry)()) {
  void** frame = reinterpret_cast<void**>(marked_top(stack)) - 22;
  std::memset(frame, 0, 22 * sizeof(void*));
  frame[11] = reinterpret_cast<void*>(entry);  // x30, the return address
  return frame;
}
#else
#error "add a context switch for this processor"
#endif

}  // namespace cuda_shim
