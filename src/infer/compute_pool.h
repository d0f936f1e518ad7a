// One set of threads for the arithmetic of several models.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/thread_pool.h"

namespace bertie::infer {

// Its users take turns, first come first served, so that models under load get a batch each in turn
// and no more threads compute than there are.
class ComputePool {
 public:
  explicit ComputePool(int threads) : threads_(threads) {}
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  // Holds the threads until it goes. Made by any thread; waits for those that came before.
  class Turn {
   public:
    explicit Turn(ComputePool& pool) : pool_(pool) { pool_.Enter(); }
    ~Turn() { pool_.Leave(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    ThreadPool& threads() const { return pool_.threads_; }

   private:
    ComputePool& pool_;
  };

  int size() const { return threads_.size(); }

 private:
  void Enter() {
    std::unique_lock lock(mutex_);
    const uint64_t number = next_++;
    changed_.wait(lock, [&] { return serving_ == number; });
  }
  void Leave() {
    std::lock_guard lock(mutex_);
    ++serving_;
    if (serving_ != next_) changed_.notify_all();
  }

  ThreadPool threads_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  uint64_t next_ = 0;     // the number that whoever comes gets
  uint64_t serving_ = 0;  // whose turn it is
};

}  // namespace bertie::infer
