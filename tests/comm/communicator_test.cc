// Ranks as threads of this process, over real sockets.
#include "comm/communicator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
#include <utility>

#include "comm/gloo_communicator.h"
#include "comm/socket.h"
#include "expect_error.h"

namespace bertie::comm {
namespace {

// Rank 0's options for a port that nobody else has: it is bound already.
JoinOptions Rendezvous(int size) {
  Socket listener = std::move(*Listen("127.0.0.1", 0));
  JoinOptions options;
  options.size = size;
  options.port = LocalPort(listener.fd());
  options.listen_fd = dup(listener.fd());
  options.join_timeout = std::chrono::seconds(20);
  options.silence_timeout = std::chrono::seconds(5);
  return options;
}

JoinOptions ForRank(JoinOptions options, int rank) {
  options.rank = rank;
  if (rank != 0) options.listen_fd = -1;
  return options;
}

// Runs body on each rank; a rank that cannot join fails the test.
void OnRanks(int size, const std::function<void(Communicator&)>& body,
             const std::string& token = "") {
  JoinOptions options = Rendezvous(size);
  options.token = token;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      auto communicator = JoinRanks(ForRank(options, rank));
      ASSERT_TRUE(communicator.ok()) << communicator.error().message;
      body(**communicator);
      EXPECT_TRUE((*communicator)->Barrier().ok());
      (*communicator)->Leave({});
    });
  }
  for (auto& thread : threads) thread.join();
}

template <class T>
std::vector<T> Values(int rank, size_t count) {
  std::mt19937 random(static_cast<unsigned>(rank) * 77 + 1);
  std::vector<T> values(count);
  for (T& value : values) {
    value = static_cast<T>(std::ldexp(static_cast<double>(random()) / 4294967296.0 - 0.5,
                                      static_cast<int>(random() % 20)));
  }
  return values;
}

template <class T>
std::vector<T> SumInOrder(int ranks, size_t count) {
  std::vector<T> sum = Values<T>(0, count);
  for (int rank = 1; rank < ranks; ++rank) {
    const auto values = Values<T>(rank, count);
    for (size_t i = 0; i < count; ++i) sum[i] += values[i];
  }
  return sum;
}

TEST(Communicator, SumsInTheOrderOfTheRanks) {
  for (int size : {2, 3, 5}) {
    OnRanks(size, [&](Communicator& c) {
      EXPECT_EQ(c.size(), size);
      for (size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{127}, size_t{129}, size_t{4099},
                           size_t{1} << 20, (size_t{4} << 20) + 7}) {
        auto values = Values<float>(c.rank(), count);
        ASSERT_TRUE(c.AllReduce(std::span(values)).ok());
        const auto expected = SumInOrder<float>(size, count);
        ASSERT_TRUE(values == expected) << count;
      }
      for (size_t count : {size_t{1}, size_t{3}, size_t{1000}}) {
        auto values = Values<double>(c.rank(), count);
        ASSERT_TRUE(c.AllReduce(std::span(values)).ok());
        ASSERT_EQ(values, SumInOrder<double>(size, count)) << count;
      }
    });
  }
}

TEST(Communicator, Bfloat16OnTheWire) {
  constexpr size_t kCount = 5000;
  std::vector<std::vector<float>> results(3);
  OnRanks(3, [&](Communicator& c) {
    auto values = Values<float>(c.rank(), kCount);
    ASSERT_TRUE(c.AllReduce(std::span(values), Wire::kBfloat16).ok());
    results[static_cast<size_t>(c.rank())] = values;
  });
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  const auto exact = SumInOrder<float>(3, kCount);
  for (size_t i = 0; i < kCount; ++i) {
    double scale = 0;
    for (int rank = 0; rank < 3; ++rank) scale += std::abs(Values<float>(rank, kCount)[i]);
    // A rounding of each contribution and one of the sum, each of 2^-8.
    ASSERT_NEAR(results[0][i], exact[i], scale * std::ldexp(1.01, -7)) << i;
    if (i == 50) break;
  }
}

TEST(Communicator, SpecialValues) {
  OnRanks(2, [&](Communicator& c) {
    const float infinity = INFINITY;
    for (Wire wire : {Wire::kFloat32, Wire::kBfloat16}) {
      std::vector<float> values = {c.rank() == 0 ? NAN : 1, c.rank() == 0 ? infinity : 1,
                                   c.rank() == 0 ? infinity : -infinity, -0.0f};
      values.resize(1000, 3.0f);
      ASSERT_TRUE(c.AllReduce(std::span(values), wire).ok());
      EXPECT_TRUE(std::isnan(values[0]));
      EXPECT_EQ(values[1], infinity);
      EXPECT_TRUE(std::isnan(values[2]));
      EXPECT_TRUE(std::signbit(values[3]));
      EXPECT_EQ(values[999], 6.0f);
    }
  });
}

TEST(Communicator, Broadcast) {
  OnRanks(
      3,
      [&](Communicator& c) {
        for (int root : {0, 2}) {
          for (size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{100003}}) {
            auto values = Values<float>(c.rank(), count);
            ASSERT_TRUE(c.Broadcast(std::as_writable_bytes(std::span(values)), root).ok());
            ASSERT_EQ(values, Values<float>(root, count));
          }
        }
      },
      "a secret");
}

TEST(Communicator, OneRankNeedsNobody) {
  auto communicator = JoinRanks({});
  ASSERT_TRUE(communicator.ok());
  std::vector<double> values = {1, 2};
  EXPECT_TRUE((*communicator)->AllReduce(std::span(values)).ok());
  EXPECT_EQ(values, (std::vector<double>{1, 2}));
  JoinOptions wrong;
  wrong.rank = 1;
  EXPECT_ERROR(JoinRanks(wrong), ErrorCode::kInvalidArgument, "rank 1 of 1");
}

TEST(Communicator, ARankThatEndsIsNamedWithItsReason) {
  JoinOptions options = Rendezvous(3);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] {
      auto joined = JoinRanks(ForRank(options, rank));
      ASSERT_TRUE(joined.ok()) << joined.error().message;
      std::unique_ptr<Communicator> c = std::move(*joined);
      // It may go while the others are still here.
      Status status = c->Barrier();
      if (rank == 2) {
        c->Leave(Error{ErrorCode::kIo, "the disk is full"});
        return;
      }
      const auto started = Clock::now();
      std::vector<float> values(1 << 20, 1.0f);
      if (status.ok()) status = c->AllReduce(std::span(values));
      EXPECT_ERROR(status, ErrorCode::kUnavailable,
                   "rank 2 was lost: it ended with: the disk is full");
      EXPECT_LT(Clock::now() - started, std::chrono::seconds(4));
      c->Leave(status);
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(Communicator, RanksThatDoNotComeAreNamed) {
  JoinOptions options = Rendezvous(4);
  options.join_timeout = std::chrono::milliseconds(1500);
  std::vector<std::thread> threads;
  for (int rank : {0, 2}) {
    threads.emplace_back([&, rank] {
      EXPECT_ERROR(JoinRanks(ForRank(options, rank)), ErrorCode::kDeadlineExceeded,
                   "ranks 1, 3 did not come within 1.5 s");
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(Communicator, RankZeroThatDoesNotComeIsNamed) {
  JoinOptions options = Rendezvous(2);
  Socket(options.listen_fd).Close();
  options.join_timeout = std::chrono::milliseconds(500);
  EXPECT_ERROR(JoinRanks(ForRank(options, 1)), ErrorCode::kDeadlineExceeded,
               "rank 1 did not reach rank 0");
}

}  // namespace
}  // namespace bertie::comm
