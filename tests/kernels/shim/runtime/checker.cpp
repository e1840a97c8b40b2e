#include "checker.h"

#include <link.h>

#include <algorithm>
#include <cstdio>

#include "report.h"

// Dynamic shared memory: one arena per operating system thread, as one block runs there at a time.
alignas(1024) thread_local unsigned char cuda_shim_shared[cuda_shim::shared_limit];

namespace cuda_shim {

unsigned char* dynamic_shared() { return cuda_shim_shared; }

constexpr unsigned window_start = 1024;  // not 0, so that a null pointer is never a valid shared address
unsigned shared_address(const void* pointer) {
  return unsigned(static_cast<const unsigned char*>(pointer) - cuda_shim_shared) + window_start;
}

bool checking = false;

namespace {

constexpr size_t unit = 2;  // bytes per shadow cell: no kernel writes single bytes that neighbours write too

// The most recent write and read of one unit. Thread and block numbers are stored plus one, zero meaning none.
struct Shadow {
  unsigned write_block_interval, write_warp_interval, write_block;
  unsigned read_block_interval, read_warp_interval, read_block;
  unsigned short write_thread, read_thread;
  unsigned char write_is_atomic, readers, initialised, writes;
};
enum Readers : unsigned char { one_thread = 0, one_warp = 1, many = 2 };

struct Region {
  const unsigned char* start;
  size_t size;
  Kind kind;
  std::vector<Shadow> shadow;
  char name[40];

  const unsigned char* end() const { return start + size; }
  bool is_shared() const { return kind == Kind::dynamic_shared || kind == Kind::static_shared; }
  bool starts_empty() const { return is_shared() || kind == Kind::write_first; }
};
std::vector<Region> regions;

// This shared library in memory: its constants may be read; its thread-local block holds static __shared__.
struct Library {
  const unsigned char *start, *end, *thread_local_start;
  size_t thread_local_size;
};
Library library;

int describe_library(dl_phdr_info* info, size_t, void*) {
  auto here = reinterpret_cast<uintptr_t>(&describe_library);
  uintptr_t low = ~uintptr_t(0), high = 0;
  bool is_this = false;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const auto& header = info->dlpi_phdr[i];
    uintptr_t start = info->dlpi_addr + header.p_vaddr, end = start + header.p_memsz;
    if (header.p_type == PT_TLS) {
      library.thread_local_start = static_cast<const unsigned char*>(info->dlpi_tls_data);
      library.thread_local_size = header.p_memsz;
    }
    if (header.p_type != PT_LOAD) continue;
    is_this = is_this || (here >= start && here < end);
    low = std::min(low, start);
    high = std::max(high, end);
  }
  if (!is_this) return 0;
  library.start = reinterpret_cast<const unsigned char*>(low);
  library.end = reinterpret_cast<const unsigned char*>(high);
  return 1;
}

Region* region_of(const void* pointer) {
  auto p = static_cast<const unsigned char*>(pointer);
  for (Region& region : regions) {
    if (p >= region.start && p < region.end()) return &region;
  }
  return nullptr;
}

void report_outside(const unsigned char* p, size_t size, const char* verb, void* pc) {
  const char* nearest = "any argument";
  long distance = 1L << 62;
  for (const Region& region : regions) {
    long gap = p >= region.end() ? p - region.end() + 1 : region.start - p;
    if (gap >= distance) continue;
    distance = gap;
    nearest = region.name;
  }
  auto stack = reinterpret_cast<const unsigned char*>(scheduler->running->stack);
  if (p < stack && p >= stack - red_zone) {
    report("thread needs a stack of more than %zu bytes, pc=%p", stack_size, pc);
  } else {
    report("invalid %s of %zu bytes, %ld bytes outside %s, pc=%p", verb, size, distance, nearest, pc);
  }
  scheduler->stop();
}

// What the running fiber is doing, in the numbers that shadow cells hold.
struct Actor {
  unsigned thread, warp, block, block_interval, warp_interval;
};

Actor running_actor() {
  const Fiber& fiber = *scheduler->running;
  const Context& c = fiber.context;
  unsigned block = (c.block.z * c.grid_dim.y + c.block.y) * c.grid_dim.x + c.block.x;
  return {c.linear + 1, c.warp, block + 1, fiber.block_interval, fiber.warp_interval};
}

bool ordered_after_write(const Shadow& cell, const Actor& me) {
  if (cell.write_block != me.block) return false;
  bool same_warp = (cell.write_thread - 1u) / 32 == me.warp;
  return cell.write_thread == me.thread || cell.write_block_interval != me.block_interval ||
         (same_warp && cell.write_warp_interval != me.warp_interval);
}

bool ordered_after_reads(const Shadow& cell, const Actor& me) {
  if (cell.read_block != me.block) return false;
  bool same_warp = (cell.read_thread - 1u) / 32 == me.warp;
  return cell.read_block_interval != me.block_interval ||
         (cell.readers == one_thread && cell.read_thread == me.thread) ||
         (cell.readers <= one_warp && same_warp && cell.read_warp_interval != me.warp_interval);
}

void report_race(const Region& region, size_t offset, const char* what, unsigned thread, unsigned block, void* pc) {
  report("race: %s on %s+%zu, other thread %u of block %u, pc=%p", what, region.name, offset, thread - 1, block - 1,
         pc);
}

void remember_read(Shadow& cell, const Actor& me, bool is_shared) {
  bool same_interval =
      cell.read_thread && cell.read_block == me.block && cell.read_block_interval == me.block_interval;
  if (!same_interval) {
    bool from_other_blocks = cell.read_thread && cell.read_block != me.block && !is_shared;
    cell.readers = from_other_blocks ? many : one_thread;
    cell.read_thread = me.thread;
    cell.read_block_interval = me.block_interval;
    cell.read_block = me.block;
    if (!from_other_blocks) cell.read_warp_interval = me.warp_interval;
  } else if (cell.read_thread == me.thread) {
    cell.read_warp_interval = me.warp_interval;
  } else if ((cell.read_thread - 1u) / 32 == me.warp && cell.readers <= one_warp) {
    cell.readers = one_warp;
    cell.read_warp_interval = std::max(cell.read_warp_interval, me.warp_interval);
  } else {
    cell.readers = many;
  }
}

void remember_write(Shadow& cell, const Actor& me, Access access) {
  cell.write_thread = me.thread;
  cell.write_block_interval = me.block_interval;
  cell.write_warp_interval = me.warp_interval;
  cell.write_block = me.block;
  cell.write_is_atomic = access == Access::atomic;
  cell.initialised = access != Access::issue;
  if (access != Access::issue && cell.writes < 255) cell.writes++;
}

void check_unit(Region& region, size_t index, const Actor& me, Access access, void* pc) {
  Shadow& cell = region.shadow[index];
  size_t offset = index * unit;
  bool reads = access == Access::read, atomic = access == Access::atomic;
  // Shared memory of an earlier block is gone.
  if (region.is_shared() && cell.write_block != me.block && cell.read_block != me.block) cell = Shadow{};
  if (reads && !cell.initialised && region.starts_empty()) {
    report("read of uninitialised %s+%zu, pc=%p", region.name, offset, pc);
    cell.initialised = 1;
  }
  bool both_atomic = atomic && cell.write_is_atomic;
  if (cell.write_thread && !both_atomic && !ordered_after_write(cell, me)) {
    const char* what = reads ? "read after write" : atomic ? "atomic after write" : "write after write";
    report_race(region, offset, what, cell.write_thread, cell.write_block, pc);
    cell.write_thread = 0;
  }
  if (!reads && cell.read_thread && !ordered_after_reads(cell, me)) {
    report_race(region, offset, "write after read", cell.read_thread, cell.read_block, pc);
    cell.read_thread = 0;
  }
  if (reads) remember_read(cell, me, region.is_shared());
  else remember_write(cell, me, access);
}

}  // namespace

void add_region(const void* start, size_t size, Kind kind, const char* name) {
  Region region = {static_cast<const unsigned char*>(start), size, kind, {}, {}};
  region.shadow.resize((size + unit - 1) / unit);
  snprintf(region.name, sizeof region.name, "%s", name);
  regions.push_back(std::move(region));
}

// Static __shared__ variables lie in this library's thread-local block, before or after the dynamic arena.
void add_shared_regions(unsigned dynamic_size) {
  volatile unsigned char* touch = cuda_shim_shared;  // the block exists only once a thread has used it
  touch[0] = touch[0];
  dl_iterate_phdr(describe_library, nullptr);
  add_region(cuda_shim_shared, dynamic_size, Kind::dynamic_shared, "dynamic __shared__");
  const unsigned char *first = library.thread_local_start, *arena = cuda_shim_shared;
  const unsigned char *last = first + library.thread_local_size, *arena_end = arena + shared_limit;
  if (arena > first) add_region(first, arena - first, Kind::static_shared, "static __shared__");
  if (arena_end < last) add_region(arena_end, last - arena_end, Kind::static_shared, "static __shared__");
}

void clear_regions() { regions.clear(); }

const void* library_base() {
  dl_iterate_phdr(describe_library, nullptr);
  return library.start;
}

void check_access(const void* pointer, size_t size, Access access, void* pc) {
  if (!scheduler || !scheduler->running || scheduler->owns(pointer)) return;
  auto p = static_cast<const unsigned char*>(pointer);
  const char* verb = access == Access::read ? "read" : "write";
  Region* region = region_of(p);
  if (!region) {
    bool constant = p >= library.start && p < library.end && access == Access::read;
    if (!constant) report_outside(p, size, verb, pc);
    return;
  }
  if (p + size > region->end()) {
    report("invalid %s of %zu bytes across the end of %s, pc=%p", verb, size, region->name, pc);
    scheduler->stop();
  }
  size_t offset = p - region->start;
  if (region->kind == Kind::read_only && access != Access::read) {
    report("write to read-only argument %s+%zu, pc=%p", region->name, offset, pc);
    return;
  }
  Actor me = running_actor();
  for (size_t i = offset / unit; i <= (offset + size - 1) / unit; i++) check_unit(*region, i, me, access, pc);
}

void coverage(const void* start, size_t* unwritten, size_t* rewritten) {
  *unwritten = *rewritten = 0;
  Region* region = region_of(start);
  if (!region) return;
  for (const Shadow& cell : region->shadow) {
    *unwritten += cell.writes == 0;
    *rewritten += cell.writes > 1;
  }
}

void note_read(const void* pointer, unsigned size) {
  if (checking) check_access(pointer, size, Access::read, __builtin_return_address(0));
}
void note_atomic(const void* pointer, unsigned size, void* pc) {
  if (checking) check_access(pointer, size, Access::atomic, pc);
}

}  // namespace cuda_shim
