// Atomics. Fibers never interleave inside one, but blocks on several operating system threads may.
#pragma once
#include "shim_runtime.h"

namespace cuda_shim {

template <class T, class Update>
SHIM_UNCHECKED inline T atomic_update(T* target, Update update) {
  note_atomic(target, sizeof(T), __builtin_return_address(0));
  T old, next;
  __atomic_load(target, &old, __ATOMIC_SEQ_CST);
  do {
    next = update(old);
  } while (!__atomic_compare_exchange(target, &old, &next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  return old;
}

}  // namespace cuda_shim

template <class T>
SHIM_UNCHECKED inline T atomicCAS(T* target, T expected, T value) {
  cuda_shim::note_atomic(target, sizeof(T), __builtin_return_address(0));
  __atomic_compare_exchange(target, &expected, &value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}
template <class T>
inline T atomicAdd(T* target, T value) {
  return cuda_shim::atomic_update(target, [=](T old) { return T(old + value); });
}
template <class T>
inline T atomicMax(T* target, T value) {
  return cuda_shim::atomic_update(target, [=](T old) { return old > value ? old : value; });
}
template <class T>
inline T atomicMin(T* target, T value) {
  return cuda_shim::atomic_update(target, [=](T old) { return old < value ? old : value; });
}
template <class T>
inline T atomicExch(T* target, T value) {
  return cuda_shim::atomic_update(target, [=](T) { return value; });
}
template <class T>
inline T atomicOr(T* target, T value) {
  return cuda_shim::atomic_update(target, [=](T old) { return T(old | value); });
}
