#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>

#include "base/cgroup.h"

namespace bertie {
namespace {

// Longer than the serial stretches between two loops of one forward, shorter than a time slice.
constexpr auto kSpin = std::chrono::microseconds(60);

inline void CpuRelax() { __builtin_ia32_pause(); }

}  // namespace

int ThreadPool::DefaultThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = sched_getaffinity(0, sizeof(set), &set) == 0
                  ? CPU_COUNT(&set)
                  : static_cast<int>(std::thread::hardware_concurrency());
  if (const auto limit = ReadCgroupLimits().processors) {
    count = std::min(count, static_cast<int>(*limit + 0.5));
  }
  return std::max(1, count);
}

ThreadPool::ThreadPool(int threads) : workers_(std::max(1, threads)) {
  for (int worker = 1; worker < threads; ++worker) {
    threads_.emplace_back([this, worker] { WorkerLoop(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::RunTasks(int worker) {
  for (;;) {
    int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= tasks_) return;
    (*body_)(task, worker);
  }
}

void ThreadPool::ParallelFor(int64_t tasks,
                             const std::function<void(int64_t task, int worker)>& body) {
  if (size() == 1 || tasks <= 1) {
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  body_ = &body;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    const uint64_t number = (loop_.load(std::memory_order_relaxed) >> kNumberShift) + 1;
    loop_.store(number << kNumberShift | kOpen, std::memory_order_release);
  }
  wake_.notify_all();
  RunTasks(0);
  // Whoever joined leaves the loop before the next may overwrite its description. On a machine with
  // fewer free processors than workers, spinning would take the time slice of the one awaited.
  loop_.fetch_and(~kOpen, std::memory_order_relaxed);
  for (int spins = 0; (loop_.load(std::memory_order_acquire) & kJoined) != 0; ++spins) {
    if (spins < 4096) {
      CpuRelax();
    } else {
      std::this_thread::yield();
    }
  }
}

// False where the loop of that number can be joined no more.
bool ThreadPool::Join(uint64_t number) {
  uint64_t loop = loop_.load(std::memory_order_relaxed);
  while (loop >> kNumberShift == number && (loop & kOpen) != 0) {
    if (loop_.compare_exchange_weak(loop, loop + 1, std::memory_order_acquire)) return true;
  }
  return false;
}

void ThreadPool::WorkerLoop(int worker) {
  uint64_t seen = 0;
  const auto number = [this] { return loop_.load(std::memory_order_relaxed) >> kNumberShift; };
  for (;;) {
    auto give_up = std::chrono::steady_clock::now() + kSpin;
    while (number() == seen && !stop_.load(std::memory_order_relaxed)) {
      for (int i = 0; i < 32; ++i) CpuRelax();
      if (worker < size() && std::chrono::steady_clock::now() < give_up) continue;
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return number() != seen || stop_.load(); });
    }
    if (stop_.load()) return;
    seen = number();
    if (!Join(seen)) continue;
    if (worker < size()) RunTasks(worker);
    loop_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace bertie
