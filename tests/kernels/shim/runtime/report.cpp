#include "report.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

#include "scheduler.h"

namespace cuda_shim {

namespace {
std::mutex mutex;
std::vector<std::string> errors;
std::atomic<int> count{0};
}  // namespace

int error_count() { return count; }
const char* error(int index) { return index < int(errors.size()) ? errors[index].c_str() : nullptr; }
void clear_errors() {
  errors.clear();
  count = 0;
}

void report(const char* format, ...) {
  char what[512], who[160] = "";
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  if (scheduler && scheduler->running) {
    const Context& c = scheduler->running->context;
    snprintf(who, sizeof who, " [block (%u,%u,%u) thread (%u,%u,%u) warp %u lane %u interval %u]", c.block.x,
             c.block.y, c.block.z, c.thread.x, c.thread.y, c.thread.z, c.warp, c.lane,
             scheduler->running->block_interval);
  }
  if (count++ >= error_limit) return;
  std::lock_guard<std::mutex> lock(mutex);
  errors.push_back(std::string(what) + who);
}

}  // namespace cuda_shim
