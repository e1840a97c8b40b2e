// Check mode compiles kernels with -fsanitize=thread,undefined but links neither library: the functions that the
// compiler inserts are defined here. So no preloading is needed, and every report speaks CUDA.
#include "checker.h"
#include "report.h"

using namespace cuda_shim;

#define HERE __builtin_return_address(0)
#define ACCESS_HOOK(name, size, access)                          \
  void __tsan_##name##size(void* p) {                            \
    if (checking) check_access(p, size, Access::access, HERE);   \
  }
#define ACCESS_HOOKS(size)                     \
  ACCESS_HOOK(read, size, read)                \
  ACCESS_HOOK(write, size, write)              \
  ACCESS_HOOK(unaligned_read, size, read)      \
  ACCESS_HOOK(unaligned_write, size, write)

// The first member of every record that UBSan passes.
struct SourceLocation {
  const char* file;
  unsigned line, column;
};
#define UNDEFINED_HOOK(name, what)                                                      \
  void __ubsan_handle_##name(void* data, ...) {                                         \
    auto at = static_cast<SourceLocation*>(data);                                       \
    report("undefined behaviour: " what " at %s:%u", at->file, at->line);               \
  }

extern "C" {

ACCESS_HOOKS(1)
ACCESS_HOOKS(2)
ACCESS_HOOKS(4)
ACCESS_HOOKS(8)
ACCESS_HOOKS(16)
void __tsan_read_range(void* p, unsigned long size) {
  if (checking && size) check_access(p, size, Access::read, HERE);
}
void __tsan_write_range(void* p, unsigned long size) {
  if (checking && size) check_access(p, size, Access::write, HERE);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

UNDEFINED_HOOK(out_of_bounds, "array index out of bounds")
UNDEFINED_HOOK(shift_out_of_bounds, "shift out of range")
UNDEFINED_HOOK(add_overflow, "signed addition overflows")
UNDEFINED_HOOK(sub_overflow, "signed subtraction overflows")
UNDEFINED_HOOK(mul_overflow, "signed multiplication overflows")
UNDEFINED_HOOK(negate_overflow, "negation overflows")
UNDEFINED_HOOK(divrem_overflow, "division by zero or overflow")
UNDEFINED_HOOK(pointer_overflow, "pointer arithmetic overflows")
UNDEFINED_HOOK(load_invalid_value, "invalid bool or enum value")
UNDEFINED_HOOK(builtin_unreachable, "unreachable code reached")
UNDEFINED_HOOK(missing_return, "missing return")
UNDEFINED_HOOK(vla_bound_not_positive, "array of no positive length")
UNDEFINED_HOOK(float_cast_overflow, "float does not fit the integer")
UNDEFINED_HOOK(invalid_builtin, "ctz or clz of 0")
UNDEFINED_HOOK(nonnull_arg, "null argument")
UNDEFINED_HOOK(nonnull_return_v1, "null return")

// A vector access at a misaligned address would crash next, so the block ends here.
void __ubsan_handle_type_mismatch_v1(void* data, void* pointer) {
  auto at = static_cast<SourceLocation*>(data);
  report("misaligned or null access at %s:%u, address %p", at->file, at->line, pointer);
  if (scheduler && scheduler->running) scheduler->stop();
}

}  // extern "C"
