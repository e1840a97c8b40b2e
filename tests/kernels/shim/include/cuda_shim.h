// cuda_shim.h -- run CUDA C++ kernels on the CPU, for tests. Put before a kernel's source, it gives a C++ compiler
// every CUDA word the kernels use. All threads of a block are fibers on ONE operating system thread, so __shared__
// is simply thread_local and every run is deterministic. The other half (scheduler, checker) is ../runtime.
#pragma once
#include "shim_language.h"
#include "shim_runtime.h"
// in this order: the rest builds on the two above
#include "shim_arithmetic.h"
#include "shim_half.h"
#include "shim_warp.h"
#include "shim_atomic.h"
#include "shim_matrix.h"
#include "shim_export.h"
