// Threads that share one loop at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bertie {

// The caller of ParallelFor is worker 0; size()-1 threads are workers 1 and up. After a loop the
// threads spin for a short while before they sleep, since a BERT forward is some fifty loops a few
// hundred microseconds apart and a futex wake costs 5 to 50 of them.
//
// One ParallelFor at a time: calls from several threads are not allowed (a caller that shares a
// pool serialises them itself), nor is a nested call on the same pool.
class ThreadPool {
 public:
  // threads >= 1; 1 starts no thread and runs every loop on the caller.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // The workers of a loop, the caller among them.
  int size() const { return workers_.load(std::memory_order_relaxed); }

  // How many of the threads given to the constructor take part from the next loop on, at least 1.
  // Not during a loop.
  void Use(int workers) { workers_.store(workers, std::memory_order_relaxed); }

  // Calls body(task, worker) once for each task in [0, tasks), in any order, on any worker in
  // [0, size()). Returns when all have ended. body must not throw.
  void ParallelFor(int64_t tasks, const std::function<void(int64_t task, int worker)>& body);

  // The processors this process may run on (its affinity mask and cgroup quota), at least 1.
  static int DefaultThreads();

 private:
  void WorkerLoop(int worker);
  bool Join(uint64_t number);
  void RunTasks(int worker);

  std::vector<std::thread> threads_;
  std::atomic<int> workers_;
  // The current loop: its number in the bits above 16; whether it may be joined in bit 15; below,
  // how many workers have joined it and not left. The caller waits for those alone: on a machine
  // with other work, a thread that has not begun may have no processor for milliseconds.
  static constexpr int kNumberShift = 16;
  static constexpr uint64_t kOpen = 1u << 15;
  static constexpr uint64_t kJoined = kOpen - 1;
  std::atomic<uint64_t> loop_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;  // guards sleeping threads' wake-up: loop_'s number and stop_ change under it
  std::condition_variable wake_;

  // The current loop's; written before it may be joined, read by those who have.
  const std::function<void(int64_t, int)>* body_ = nullptr;
  int64_t tasks_ = 0;
  std::atomic<int64_t> next_{0};
};

}  // namespace bertie
