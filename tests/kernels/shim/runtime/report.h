// Errors found during a launch, in CUDA's terms.
#pragma once

namespace cuda_shim {

constexpr int error_limit = 32;  // a launch with more than this many errors stops

int error_count();
const char* error(int index);  // null past the last one
void clear_errors();
// Adds who was running. "pc=0x..." in the text is turned into file and line by the Python side.
void report(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace cuda_shim
