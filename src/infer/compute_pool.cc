#include "infer/compute_pool.h"

#include <algorithm>
#include <utility>

namespace bertie::infer {

ComputePool::ComputePool(int threads) : together_(threads) {
  threads_.resize(static_cast<size_t>(threads));
  for (std::thread& thread : threads_) thread = std::thread([this] { Loop(); });
}

ComputePool::~ComputePool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    while (!asleep_.empty()) WakeOne();
  }
  for (std::thread& thread : threads_) thread.join();
}

void ComputePool::Run(Job job) {
  std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  // A thread of this pool looks for the next job itself when the one that it runs ends.
  const auto caller = std::this_thread::get_id();
  const bool own = std::any_of(threads_.begin(), threads_.end(),
                               [&](const auto& thread) { return thread.get_id() == caller; });
  if (!own && Idle() > 0) WakeOne();
}

void ComputePool::WakeOne() {
  if (asleep_.empty()) return;
  Lane& lane = *asleep_.back();
  asleep_.pop_back();
  lane.woken_ = true;
  lane.wake_.notify_one();
}

void ComputePool::Sleep(Lane& lane, std::unique_lock<std::mutex>& lock) {
  lane.woken_ = false;
  asleep_.push_back(&lane);
  lane.wake_.wait(lock, [&] { return lane.woken_; });
}

void ComputePool::Loop() {
  Lane lane(*this);
  std::unique_lock lock(mutex_);
  while (true) {
    while (jobs_.empty() ? !stop_ : Idle() == 0) Sleep(lane, lock);
    if (jobs_.empty()) break;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    ++busy_;
    if (!jobs_.empty() && Idle() > 0) WakeOne();  // who does the same
    lock.unlock();
    job(lane);
    job = nullptr;  // what it holds goes before the next one is awaited
    lock.lock();
    --busy_;
    if (helped_ == &lane) {
      helped_ = nullptr;
      helping_ = 0;
    }
  }
  while (!asleep_.empty()) WakeOne();  // those that waited for a job to end
}

ThreadPool& ComputePool::ThreadsFor(Lane& lane) {
  std::lock_guard lock(mutex_);
  if (helped_ != nullptr && helped_ != &lane) return lane.alone_;
  // Where a job waits for a lane, one that helps goes to it.
  const int helpers = std::max(0, Idle() + helping_ - static_cast<int>(jobs_.size()));
  if (helpers < helping_) WakeOne();
  helping_ = helpers;
  helped_ = helpers > 0 ? &lane : nullptr;
  together_.Use(1 + helpers);
  return helpers > 0 ? together_ : lane.alone_;
}

}  // namespace bertie::infer
