// One set of threads for the arithmetic of several models.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/thread_pool.h"

namespace bertie::infer {

// Each thread is a lane, which runs one job at a time; jobs begin in the order they came. A lane
// that has nothing to do helps one that has: so a sentence alone is computed by all threads, and
// under load each thread computes for itself, at its own pace, which takes the least work. Where
// one stands still, because the host or another process has its processor, the others go on.
class ComputePool {
 public:
  explicit ComputePool(int threads);
  // Finishes the jobs that wait.
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  class Lane {
   public:
    // What the job's next step is to be computed with: this thread, and those that have nothing to
    // do. Called by the job, again before each step, so that whoever helps can go where a job
    // waits. Valid until the next call.
    ThreadPool& Threads() { return pool_.ThreadsFor(*this); }

   private:
    friend class ComputePool;
    explicit Lane(ComputePool& pool) : pool_(pool) {}

    ComputePool& pool_;
    ThreadPool alone_{1};
    std::condition_variable wake_;
    bool woken_ = false;  // to look for a job
  };

  // Must not throw.
  using Job = std::function<void(Lane& lane)>;

  // From any thread; does not wait. What a job adds begins when that job ends, or sooner.
  void Run(Job job);

  int size() const { return static_cast<int>(threads_.size()); }

 private:
  void Loop();
  ThreadPool& ThreadsFor(Lane& lane);
  void Sleep(Lane& lane, std::unique_lock<std::mutex>& lock);
  void WakeOne();
  int Idle() const { return size() - busy_ - helping_; }

  ThreadPool together_;  // of the lane that is helped
  std::mutex mutex_;     // guards all below
  std::deque<Job> jobs_;
  std::vector<Lane*> asleep_;     // the last to fall asleep last: what it needs may be in its cache
  int busy_ = 0;                  // lanes that run a job
  int helping_ = 0;               // lanes that help
  const Lane* helped_ = nullptr;  // the lane that they help
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace bertie::infer
