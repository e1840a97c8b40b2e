// SHIM_EXPORT(symbol, kernel<...>): a C function that takes arguments as cuLaunchKernel does, and one that gives their
// sizes, so that the Python side can compare them with the kernel's declared parameters.
#pragma once
#include "shim_language.h"

namespace cuda_shim {

template <class... A, size_t... I>
SHIM_UNCHECKED inline void call_at(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
  kernel(*reinterpret_cast<std::remove_reference_t<A>*>(args[I])...);
}
template <class... A>
SHIM_UNCHECKED inline void call(void (*kernel)(A...), void** args) {
  call_at(kernel, args, std::index_sequence_for<A...>{});
}
template <class... A>
inline int argument_sizes(void (*)(A...), int* sizes) {
  int count = 0;
  ((sizes[count++] = int(sizeof(A))), ...);
  return count;
}

}  // namespace cuda_shim

#define SHIM_EXPORT(symbol, ...)                                                                        \
  extern "C" __attribute__((visibility("default"))) SHIM_UNCHECKED void symbol##_call(void** args) {    \
    cuda_shim::call(&__VA_ARGS__, args);                                                                \
  }                                                                                                     \
  extern "C" __attribute__((visibility("default"))) int symbol##_sizes(int* sizes) {                    \
    return cuda_shim::argument_sizes(&__VA_ARGS__, sizes);                                              \
  }
