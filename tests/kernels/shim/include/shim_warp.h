// Shuffles and votes.
#pragma once
#include "shim_runtime.h"

namespace cuda_shim {

template <class T>
SHIM_UNCHECKED inline T value_of_lane(unsigned mask, T mine, int lane) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable<T>::value, "what a shuffle can move");
  const void* const* lanes = warp_exchange(mask, &mine, sizeof(T));
  if (!((mask >> lane) & 1)) trap("shuffle reads a lane outside its mask");
  T value;
  std::memcpy(&value, lanes[lane], sizeof(T));
  return value;
}

}  // namespace cuda_shim

// `width` splits the warp into groups; a source outside the own group is the own lane, as on the device.
template <class T>
SHIM_UNCHECKED inline T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  int lane = cuda_shim::context->lane, first = lane & ~(width - 1);
  return cuda_shim::value_of_lane(mask, value, first | (source & (width - 1)));
}
template <class T>
SHIM_UNCHECKED inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  int lane = cuda_shim::context->lane, source = lane ^ bits;
  if ((source & ~(width - 1)) > (lane & ~(width - 1))) source = lane;
  return cuda_shim::value_of_lane(mask, value, source);
}
template <class T>
SHIM_UNCHECKED inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  int lane = cuda_shim::context->lane;
  bool inside = (lane & (width - 1)) + int(delta) < width;
  return cuda_shim::value_of_lane(mask, value, inside ? lane + int(delta) : lane);
}
template <class T>
SHIM_UNCHECKED inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  int lane = cuda_shim::context->lane;
  bool inside = (lane & (width - 1)) >= int(delta);
  return cuda_shim::value_of_lane(mask, value, inside ? lane - int(delta) : lane);
}

SHIM_UNCHECKED inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const void* const* lanes = cuda_shim::warp_exchange(mask, &predicate, sizeof predicate);
  unsigned votes = 0;
  for (int lane = 0; lane < 32; lane++) {
    if (!((mask >> lane) & 1)) continue;
    int vote;
    std::memcpy(&vote, lanes[lane], sizeof vote);
    if (vote) votes |= 1u << lane;
  }
  return votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }
