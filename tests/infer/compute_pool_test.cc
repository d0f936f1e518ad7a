#include "infer/compute_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

namespace bertie::infer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Jobs stop here until it is opened.
class Gate {
 public:
  void Pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  // False where so many do not come.
  bool WaitFor(int jobs) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(20), [&] { return waiting_ >= jobs; });
  }

 private:
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

int SumOf(ThreadPool& threads) {
  std::atomic<int> sum{0};
  threads.ParallelFor(100, [&](int64_t task, int) { sum += static_cast<int>(task); });
  return sum;
}

TEST(ComputePool, AJobAloneHasAllThreads) {
  ComputePool pool(4);
  for (int i = 0; i < 50; ++i) {
    std::promise<int> threads;
    pool.Run([&](ComputePool::Lane& lane) {
      EXPECT_EQ(SumOf(lane.Threads()), 4950);
      threads.set_value(lane.Threads().size());
    });
    EXPECT_EQ(threads.get_future().get(), 4);
  }
}

TEST(ComputePool, JobsBeginInOrderOneALane) {
  Gate gate;
  std::mutex mutex;
  std::vector<int> order;
  {
    ComputePool pool(2);
    for (int i = 0; i < 2; ++i) pool.Run([&](ComputePool::Lane&) { gate.Pass(); });
    ASSERT_TRUE(gate.WaitFor(2));  // one does not hold up the other
    for (int i = 0; i < 3; ++i) {
      pool.Run([&, i](ComputePool::Lane&) {
        std::lock_guard lock(mutex);
        order.push_back(i);
      });
    }
    std::this_thread::sleep_for(milliseconds(50));
    std::lock_guard lock(mutex);
    EXPECT_TRUE(order.empty());
    gate.Open();
  }
  // The end of the pool has waited for them. With two lanes two may begin at once, not all three.
  ASSERT_EQ(order.size(), 3u);
  EXPECT_NE(order.front(), 2);
}

// While one lane's job goes on, another's gets the threads that are idle, and lets them go where
// they are wanted.
TEST(ComputePool, HelpersGoWhereAJobWaits) {
  ComputePool pool(3);
  Gate first, second;
  std::promise<void> third;
  std::promise<std::vector<int>> sizes;
  pool.Run([&](ComputePool::Lane& lane) {
    std::vector<int> seen = {lane.Threads().size()};
    pool.Run([&](ComputePool::Lane& other) {
      EXPECT_EQ(other.Threads().size(), 1);  // one lane is helped at a time
      second.Pass();
    });
    seen.push_back(lane.Threads().size());
    EXPECT_TRUE(second.WaitFor(1));
    first.Pass();
    seen.push_back(lane.Threads().size());
    EXPECT_EQ(SumOf(lane.Threads()), 4950);
    sizes.set_value(seen);
  });
  ASSERT_TRUE(first.WaitFor(1));
  // From elsewhere, where the only idle lane helps.
  pool.Run([&](ComputePool::Lane&) { third.set_value(); });
  first.Open();
  third.get_future().get();
  const std::vector<int> seen = sizes.get_future().get();
  EXPECT_EQ(seen[0], 3);
  EXPECT_EQ(seen[1], 2);
  EXPECT_GE(seen[2], 1);  // 2 where the third has ended already
  second.Open();
}

TEST(ComputePool, OneThread) {
  ComputePool pool(1);
  std::promise<int> threads;
  pool.Run([&](ComputePool::Lane& lane) { threads.set_value(lane.Threads().size()); });
  EXPECT_EQ(threads.get_future().get(), 1);
}

TEST(ComputePool, ManyThreadsAskAndEachJobRunsOnce) {
  std::atomic<int> runs{0}, wrong{0}, at_once{0}, most{0};
  {
    ComputePool pool(3);
    std::vector<std::thread> users;
    for (int i = 0; i < 4; ++i) {
      users.emplace_back([&] {
        for (int k = 0; k < 300; ++k) {
          pool.Run([&](ComputePool::Lane& lane) {
            int now = ++at_once;
            for (int before = most; now > before && !most.compare_exchange_weak(before, now);) {
            }
            for (int step = 0; step < 3; ++step) wrong += SumOf(lane.Threads()) != 4950;
            ++runs;
            --at_once;
          });
        }
      });
    }
    for (auto& user : users) user.join();
  }
  EXPECT_EQ(runs, 1200);
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(most, 3);
}

}  // namespace
}  // namespace bertie::infer
