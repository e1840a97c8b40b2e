// Shadow memory: bounds, initialisation, races between threads, warps and blocks, and coverage of outputs.
#pragma once
#include <cstddef>

#include "scheduler.h"

namespace cuda_shim {

enum class Access { read, write, atomic, issue };  // issue: a cp.async started, its bytes are not there yet

// What a registered range of memory is for. Numbers are shared with the Python side.
enum class Kind : int { dynamic_shared = 0, static_shared = 1, read_only = 2, read_write = 3, write_first = 4 };

extern bool checking;

void add_region(const void* start, size_t size, Kind kind, const char* name);
void add_shared_regions(unsigned dynamic_size);
void clear_regions();
void check_access(const void* pointer, size_t size, Access access, void* program_counter);
void coverage(const void* start, size_t* unwritten, size_t* rewritten);  // in units of two bytes
const void* library_base();

}  // namespace cuda_shim
