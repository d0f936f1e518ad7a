#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace bertie {
namespace {

class ThreadPoolOfSize : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolOfSize, CallsEachTaskOnce) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.size(), GetParam());
  for (const int64_t tasks : {0, 1, 2, 3, 1000}) {
    std::vector<std::atomic<int>> calls(static_cast<size_t>(tasks));
    pool.ParallelFor(tasks, [&](int64_t task, int worker) {
      EXPECT_GE(worker, 0);
      EXPECT_LT(worker, pool.size());
      ++calls[static_cast<size_t>(task)];
    });
    for (const auto& count : calls) EXPECT_EQ(count.load(), 1);
  }
}

TEST_P(ThreadPoolOfSize, MakesWritesVisibleToTheCaller) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> squares(257);
  for (int round = 0; round < 200; ++round) {
    pool.ParallelFor(
        257, [&](int64_t task, int) { squares[static_cast<size_t>(task)] = task * task + round; });
    ASSERT_EQ(std::accumulate(squares.begin(), squares.end(), int64_t{0}),
              int64_t{256} * 257 * 513 / 6 + int64_t{257} * round);
  }
}

// A worker index is what callers use to pick a scratch buffer, so two tasks that run at the same
// time must never see the same one.
TEST_P(ThreadPoolOfSize, NeverRunsOneWorkerTwiceAtOnce) {
  ThreadPool pool(GetParam());
  std::vector<std::atomic<int>> inside(static_cast<size_t>(pool.size()));
  pool.ParallelFor(64, [&](int64_t, int worker) {
    EXPECT_EQ(inside[static_cast<size_t>(worker)]++, 0);
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    --inside[static_cast<size_t>(worker)];
  });
}

TEST_P(ThreadPoolOfSize, WakesThreadsThatSleep) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 5; ++round) {
    // Longer than the threads spin before they sleep.
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int> calls{0};
    pool.ParallelFor(100, [&](int64_t, int) { ++calls; });
    EXPECT_EQ(calls.load(), 100);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPoolOfSize, testing::Values(1, 2, 3, 8));

TEST(ThreadPool, RunsTasksOnSeveralThreads) {
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  // Each task waits for the other: they end only when both run at the same time.
  pool.ParallelFor(2, [&](int64_t, int) {
    ++arrived;
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (arrived < 2 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
  });
  EXPECT_EQ(arrived.load(), 2);
}

TEST(ThreadPool, OnlyThoseInUseTakePart) {
  ThreadPool pool(4);
  for (int round = 0; round < 100; ++round) {
    for (const int workers : {1, 3, 4, 2}) {
      pool.Use(workers);
      ASSERT_EQ(pool.size(), workers);
      std::atomic<int> calls{0}, highest{0};
      pool.ParallelFor(64, [&](int64_t, int worker) {
        ++calls;
        for (int before = highest;
             worker > before && !highest.compare_exchange_weak(before, worker);) {
        }
      });
      ASSERT_EQ(calls, 64);
      ASSERT_LT(highest, workers);
    }
  }
}

TEST(ThreadPool, StartsAndStopsWithoutWork) {
  for (int round = 0; round < 50; ++round) ThreadPool pool(4);
}

TEST(ThreadPool, DefaultIsAtLeastOneThread) { EXPECT_GE(ThreadPool::DefaultThreads(), 1); }

}  // namespace
}  // namespace bertie
