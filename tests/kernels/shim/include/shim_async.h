// cp.async of 16 bytes: what include/mma.cuh calls where there is no PTX.
#pragma once
#include "shim_runtime.h"

namespace cuda_shim {

inline void cp_async_16(void* shared, const void* global, bool valid) {
  async_copy(shared, global, 16, valid ? 16 : 0);
}
inline void cp_async_commit() { async_commit(); }
template <int groups_left>
inline void cp_async_wait() {
  async_wait(groups_left);
}

}  // namespace cuda_shim
