#include "scheduler.h"

#include <algorithm>

#include "checker.h"
#include "report.h"

namespace cuda_shim {

thread_local Context* context;
thread_local Scheduler* scheduler;

namespace {

void fiber_entry() {
  scheduler->launch.kernel(scheduler->launch.args);
  scheduler->finish_fiber();
}

unsigned lowest_bit(unsigned mask) { return unsigned(__builtin_ctz(mask)); }

void finish_copy(const PendingCopy& copy) {
  std::memcpy(copy.to, copy.from, copy.valid);
  std::memset(copy.to + copy.valid, 0, copy.size - copy.valid);
}

}  // namespace

Scheduler::Scheduler(const Launch& l)
    : launch(l),
      size(l.block.x * l.block.y * l.block.z),
      stacks_(size),
      fibers_(size),
      of_warp_((size + 31) / 32),
      of_thread_(size),
      random_(l.seed) {}

void Scheduler::start_fibers(uint3 block) {
  std::vector<unsigned> order(size);
  for (unsigned i = 0; i < size; i++) order[i] = i;
  if (launch.order == descending) std::reverse(order.begin(), order.end());
  if (launch.order == shuffled) std::shuffle(order.begin(), order.end(), random_);
  dim3 dim = launch.block;
  for (unsigned i = 0; i < size; i++) {
    Fiber& fiber = fibers_[i];
    uint3 thread = {i % dim.x, i / dim.x % dim.y, i / (dim.x * dim.y)};
    fiber.context = {thread, block, dim, launch.grid, i, i % 32, i / 32};
    fiber.block_interval = fiber.warp_interval = 0;
    fiber.copy_group = 0;
    fiber.copies.clear();
    fiber.stack = stacks_[i];
    fiber.stack_pointer = first_frame(fiber.stack, fiber_entry);
  }
  for (unsigned i : order) enqueue(i);
}

void Scheduler::run_block(uint3 block) {
  queue_.clear();
  next_ = 0;
  alive_ = size;
  arrived_ = 0;
  stopped_ = false;
  start_fibers(block);
  while (next_ < queue_.size() && !stopped_) {
    running = &fibers_[queue_[next_++]];
    context = &running->context;
    cuda_shim_switch(&main_stack_pointer_, running->stack_pointer);
  }
  running = nullptr;
  if (alive_ && !stopped_) report_deadlock();
}

void Scheduler::report_deadlock() {
  unsigned at_block = 0, at_warp = 0, mask = 0;
  for (unsigned i = 0; i < size; i++) {
    at_block += fibers_[i].state == State::at_block_barrier;
    if (fibers_[i].state == State::at_warp_barrier) {
      at_warp++;
      mask = fibers_[i].warp_mask;
    }
  }
  const uint3& block = fibers_[0].context.block;
  report("deadlock in block (%u,%u,%u): %u threads wait at __syncthreads, %u at a warp primitive (mask %08x), "
         "%u have exited", block.x, block.y, block.z, at_block, at_warp, mask, size - alive_);
  stopped_ = true;
}

// ------------------------------------------------------------------------------------------- who runs next
void Scheduler::enqueue(unsigned index) {
  fibers_[index].state = State::ready;
  queue_.push_back(index);
}

void Scheduler::reorder(size_t from) {
  if (launch.order == descending) std::reverse(queue_.begin() + from, queue_.end());
  if (launch.order == shuffled) std::shuffle(queue_.begin() + from, queue_.end(), random_);
}

void Scheduler::switch_to(Fiber* next) {
  Fiber* previous = running;
  if (next == previous) return;
  running = next;
  context = &next->context;
  cuda_shim_switch(&previous->stack_pointer, next->stack_pointer);
}

void Scheduler::leave() {
  Fiber* previous = running;
  running = nullptr;
  cuda_shim_switch(&previous->stack_pointer, main_stack_pointer_);
}

void Scheduler::wait() {
  if (next_ == queue_.size()) return leave();
  unsigned index = queue_[next_++];
  if (next_ > 4096) {
    queue_.erase(queue_.begin(), queue_.begin() + next_);
    next_ = 0;
  }
  switch_to(&fibers_[index]);
}

void Scheduler::stop() {
  stopped_ = true;
  leave();
}

void Scheduler::finish_fiber() {
  if (!running->copies.empty()) report("thread exits with cp.async copies it never waited for");
  if (has_overflown(running->stack)) report("thread needs a stack of more than %zu bytes", stack_size);
  running->state = State::done;
  alive_--;
  if (arrived_ && arrived_ == alive_) {
    report("__syncthreads() reached by only part of the block (others exited)");
    stop();
  }
  wait();
}

// ---------------------------------------------------------------------------------------------- barriers
void Scheduler::release_block() {
  arrived_ = 0;
  size_t from = queue_.size();
  for (unsigned i = 0; i < size; i++) {
    if (fibers_[i].state != State::at_block_barrier) continue;
    fibers_[i].block_interval++;
    if (&fibers_[i] != running) enqueue(i);
  }
  running->state = State::ready;
  reorder(from);
}

void Scheduler::block_barrier() {
  running->state = State::at_block_barrier;
  if (++arrived_ == size) release_block();
  else wait();
}

int Scheduler::block_barrier_count(int predicate) {
  running->predicate = predicate;
  running->state = State::at_block_barrier;
  if (++arrived_ < size) {
    wait();
    return count_;
  }
  count_ = 0;
  for (unsigned i = 0; i < size; i++) count_ += fibers_[i].predicate != 0;
  release_block();
  return count_;
}

// Enter a warp primitive; true for the last lane of the mask to do so.
bool Scheduler::arrive_at_warp(unsigned mask) {
  if (!((mask >> running->context.lane) & 1)) trap("warp primitive called by a lane that is not in its mask");
  running->state = State::at_warp_barrier;
  running->warp_mask = mask;
  unsigned first = running->context.warp * 32;
  bool last = true;
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    unsigned index = first + lowest_bit(rest);
    if (index >= size) trap("warp mask names a lane beyond the block");
    Fiber& other = fibers_[index];
    if (other.state == State::done) trap("warp mask names a lane that has exited");
    last = last && other.state == State::at_warp_barrier && other.warp_mask == mask;
  }
  return last;
}

// Shuffles make lanes meet but, unlike __syncwarp, do not order their memory accesses.
void Scheduler::release_warp(unsigned mask, bool is_barrier) {
  unsigned first = running->context.warp * 32, interval = 0;
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    interval = std::max(interval, fibers_[first + lowest_bit(rest)].warp_interval);
  }
  size_t from = queue_.size();
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    unsigned index = first + lowest_bit(rest);
    if (is_barrier) fibers_[index].warp_interval = interval + 1;
    if (&fibers_[index] != running) enqueue(index);
  }
  running->state = State::ready;
  reorder(from);
}

void Scheduler::warp_barrier(unsigned mask) {
  if (arrive_at_warp(mask)) release_warp(mask, true);
  else wait();
}

const void* const* Scheduler::warp_exchange(unsigned mask, const void* mine, unsigned bytes) {
  if (bytes > sizeof Exchange::bytes[0]) trap("warp exchange too large");
  running->deposit = mine;
  unsigned first = running->context.warp * 32;
  bool whole_warp = mask == 0xffffffffu;
  auto collect = [&](Exchange& into) {
    for (unsigned rest = mask; rest; rest &= rest - 1) {
      unsigned lane = lowest_bit(rest);
      std::memcpy(into.bytes[lane], fibers_[first + lane].deposit, bytes);
      into.lanes[lane] = into.bytes[lane];
    }
  };
  if (arrive_at_warp(mask)) {
    if (whole_warp) collect(of_warp_[running->context.warp]);
    else for (unsigned rest = mask; rest; rest &= rest - 1) collect(of_thread_[first + lowest_bit(rest)]);
    release_warp(mask, false);
  } else {
    wait();
  }
  return whole_warp ? of_warp_[running->context.warp].lanes : of_thread_[running->context.linear].lanes;
}

// ------------------------------------------------------------------------------------------------- cp.async
// The copy may land any time between issue and wait. In check mode it lands at the wait, and shadow memory says
// "written but not yet valid" before; otherwise the fiber order decides, so that both extremes are run.
void Scheduler::async_copy(void* to, const void* from, unsigned bytes, unsigned valid, void* pc) {
  bool aligned = reinterpret_cast<uintptr_t>(to) % bytes == 0 &&
                 (valid == 0 || reinterpret_cast<uintptr_t>(from) % bytes == 0);
  if (!aligned) trap("cp.async: misaligned address");
  PendingCopy copy = {static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from), bytes, valid,
                      running->copy_group};
  running->copies.push_back(copy);
  if (checking) {
    if (valid) check_access(from, valid, Access::read, pc);
    check_access(to, bytes, Access::issue, pc);
  } else if (launch.order == descending || (launch.order == shuffled && random_() % 2)) {
    finish_copy(copy);
  }
}

void Scheduler::async_wait(int groups_left, void* pc) {
  std::vector<PendingCopy>& copies = running->copies;
  size_t kept = 0;
  for (const PendingCopy& copy : copies) {
    if (copy.group >= running->copy_group - groups_left) {
      copies[kept++] = copy;
      continue;
    }
    if (checking) check_access(copy.to, copy.size, Access::write, pc);
    finish_copy(copy);
  }
  copies.resize(kept);
}

bool Scheduler::owns(const void* pointer) const {
  auto p = static_cast<const char*>(pointer);
  bool on_stack = p >= running->stack && p < running->stack + stack_size;
  auto first = reinterpret_cast<const char*>(fibers_.data());
  return on_stack || p == reinterpret_cast<const char*>(&context) ||
         (p >= first && p < first + size * sizeof(Fiber));
}

// ----------------------------------------------------------------------------- what ../include/*.h call
void block_barrier() { scheduler->block_barrier(); }
int block_barrier_count(int predicate) { return scheduler->block_barrier_count(predicate); }
int block_size() { return int(scheduler->size); }
void warp_barrier(unsigned mask) { scheduler->warp_barrier(mask); }
const void* const* warp_exchange(unsigned mask, const void* mine, unsigned bytes) {
  return scheduler->warp_exchange(mask, mine, bytes);
}
void async_copy(void* to, const void* from, unsigned bytes, unsigned valid) {
  scheduler->async_copy(to, from, bytes, valid, __builtin_return_address(0));
}
void async_commit() { scheduler->running->copy_group++; }
void async_wait(int groups_left) { scheduler->async_wait(groups_left, __builtin_return_address(0)); }
void trap(const char* why) {
  report("%s", why);
  scheduler->stop();
  __builtin_unreachable();
}

}  // namespace cuda_shim
