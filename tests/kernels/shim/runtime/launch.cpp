// The C interface that the Python side calls.
#include <atomic>
#include <thread>

#include "checker.h"
#include "report.h"

using namespace cuda_shim;

namespace {

// Blocks one after another; several of these may share `next`.
void run_blocks(const Launch& launch, std::atomic<unsigned>& next, unsigned total) {
  Scheduler here(launch);
  scheduler = &here;
  dim3 grid = launch.grid;
  while (error_count() < error_limit && !here.stopped()) {
    unsigned i = next++;
    if (i >= total) break;
    std::memset(dynamic_shared(), 0xff, launch.shared_size);  // NaN, so that unchecked runs notice too
    here.run_block({i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y)});
  }
  scheduler = nullptr;
}

bool within_limits(const Launch& l) {
  return l.shared_size <= shared_limit && l.block.x * l.block.y * l.block.z <= 1024 && l.block.z <= 64 &&
         l.grid.x && l.grid.y && l.grid.z && l.grid.x <= 2147483647u && l.grid.y <= 65535 && l.grid.z <= 65535;
}

}  // namespace

extern "C" {

void cuda_shim_clear() {
  clear_regions();
  clear_errors();
}
void cuda_shim_region(const void* start, size_t size, int kind, const char* name) {
  add_region(start, size, Kind(kind), name);
}
int cuda_shim_launch(Thunk kernel, const unsigned* grid, const unsigned* block, unsigned shared_size, void** args,
                     int check, int order, unsigned seed, int threads) {
  Launch launch = {{grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, shared_size, kernel, args, order, seed};
  checking = check;
  if (!within_limits(launch)) {
    report("launch outside of device limits");
    return error_count();
  }
  if (check) add_shared_regions(shared_size);
  unsigned total = grid[0] * grid[1] * grid[2];
  std::atomic<unsigned> next{0};
  if (check || threads <= 1 || total == 1) {
    run_blocks(launch, next, total);
  } else {
    std::vector<std::thread> pool;
    for (int i = 0; i < threads; i++) pool.emplace_back([&] { run_blocks(launch, next, total); });
    for (std::thread& thread : pool) thread.join();
  }
  return error_count();
}
const char* cuda_shim_error(int index) { return error(index); }
void cuda_shim_coverage(const void* start, size_t* unwritten, size_t* rewritten) {
  coverage(start, unwritten, rewritten);
}
const void* cuda_shim_base() { return library_base(); }

}  // extern "C"
