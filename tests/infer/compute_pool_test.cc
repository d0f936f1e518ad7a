#include "infer/compute_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace bertie::infer {
namespace {

TEST(ComputePool, OneUserAtATime) {
  ComputePool pool(2);
  std::atomic<int> inside{0}, worst{0};
  std::vector<std::thread> users;
  for (int i = 0; i < 4; ++i) {
    users.emplace_back([&] {
      for (int k = 0; k < 200; ++k) {
        const ComputePool::Turn turn(pool);
        worst = std::max(worst.load(), ++inside);
        std::atomic<int> sum{0};
        turn.threads().ParallelFor(8, [&](int64_t task, int) { sum += static_cast<int>(task); });
        EXPECT_EQ(sum, 28);
        --inside;
      }
    });
  }
  for (auto& user : users) user.join();
  EXPECT_EQ(worst, 1);
}

// One that asks again at once waits for those that came while it computed.
TEST(ComputePool, UsersTakeTurns) {
  ComputePool pool(1);
  std::vector<int> order;
  std::atomic<int> waiting{0};
  std::vector<std::thread> users;
  {
    const ComputePool::Turn first(pool);
    for (int i = 0; i < 2; ++i) {
      users.emplace_back([&, i] {
        for (int k = 0; k < 3; ++k) {
          if (k == 0) ++waiting;
          const ComputePool::Turn turn(pool);
          order.push_back(i);
          std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
      });
    }
    while (waiting < 2) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // until both have asked
  }
  for (auto& user : users) user.join();
  ASSERT_EQ(order.size(), 6u);
  for (size_t i = 1; i < order.size(); ++i) EXPECT_NE(order[i], order[i - 1]) << i;
}

}  // namespace
}  // namespace bertie::infer
