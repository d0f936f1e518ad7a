#include "infer/request_queue.h"

#include <gtest/gtest.h>

#include <string>

namespace bertie::infer {
namespace {

// A request of that many sequences, each of `length` tokens of the id given.
InferRequest Make(size_t sequences, size_t length, int32_t id = 1) {
  InferRequest request;
  for (size_t i = 0; i < sequences; ++i) {
    request.sequences.push_back(
        {.ids = std::vector<int32_t>(length, id), .type_ids = std::vector<int32_t>(length, 0)});
  }
  request.done = [](Result<InferResult>) {};
  return request;
}

// The first id of each sequence of a batch.
std::vector<int32_t> Ids(const Turn& turn) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < turn.batch.size(); ++i) {
    ids.push_back(turn.batch.token_ids[turn.batch.cumulative_seq_lengths[i]]);
  }
  return ids;
}

const Clock::time_point kNow{std::chrono::seconds(1000)};
using Int32s = std::vector<int32_t>;

TEST(RequestQueue, FirstComeFirstServedWithinTheBudget) {
  RequestQueue queue({});
  for (int32_t id = 1; id <= 5; ++id) ASSERT_TRUE(queue.Push(Make(1, 10, id), kNow).ok());
  EXPECT_EQ(queue.tokens(), 50);
  EXPECT_EQ(Ids(queue.TakeBatch(30, kNow)), (Int32s{1, 2, 3}));
  EXPECT_EQ(Ids(queue.TakeBatch(30, kNow)), (Int32s{4, 5}));
  EXPECT_TRUE(queue.TakeBatch(30, kNow).slices.empty());
  EXPECT_EQ(queue.tokens(), 0);
}

TEST(RequestQueue, ASequenceOverTheBudgetGoesAlone) {
  RequestQueue queue({});
  ASSERT_TRUE(queue.Push(Make(1, 10, 1), kNow).ok());
  ASSERT_TRUE(queue.Push(Make(1, 100, 2), kNow).ok());
  ASSERT_TRUE(queue.Push(Make(1, 10, 3), kNow).ok());
  EXPECT_EQ(Ids(queue.TakeBatch(30, kNow)), (Int32s{1}));
  EXPECT_EQ(Ids(queue.TakeBatch(30, kNow)), (Int32s{2}));
  EXPECT_EQ(Ids(queue.TakeBatch(30, kNow)), (Int32s{3}));
}

TEST(RequestQueue, ALoneRequestFillsTheBatch) {
  RequestQueue queue({});
  ASSERT_TRUE(queue.Push(Make(100, 10), kNow).ok());
  EXPECT_EQ(queue.TakeBatch(400, kNow).batch.size(), 40);
  EXPECT_EQ(queue.TakeBatch(400, kNow).batch.size(), 40);
  EXPECT_EQ(queue.TakeBatch(400, kNow).batch.size(), 20);
}

TEST(RequestQueue, ALargeRequestLeavesRoomForOthers) {
  RequestQueue queue({});
  ASSERT_TRUE(queue.Push(Make(1000, 10, 1), kNow).ok());
  EXPECT_EQ(queue.TakeBatch(80, kNow).batch.size(), 8);
  for (int32_t id = 2; id <= 4; ++id) ASSERT_TRUE(queue.Push(Make(1, 10, id), kNow).ok());
  // Everybody else first, then the large one as far as there is room.
  EXPECT_EQ(Ids(queue.TakeBatch(80, kNow)), (Int32s{2, 3, 4, 1, 1, 1, 1, 1}));
  // Nobody who waits is passed over twice.
  ASSERT_TRUE(queue.Push(Make(8, 10, 5), kNow).ok());
  ASSERT_TRUE(queue.Push(Make(8, 10, 6), kNow).ok());
  EXPECT_EQ(Ids(queue.TakeBatch(80, kNow)), (Int32s{5, 5, 6, 6, 1, 1, 5, 5}));
}

TEST(RequestQueue, TwoLargeRequestsShare) {
  RequestQueue queue({});
  ASSERT_TRUE(queue.Push(Make(1000, 10, 1), kNow).ok());
  ASSERT_TRUE(queue.Push(Make(1000, 10, 2), kNow).ok());
  EXPECT_EQ(Ids(queue.TakeBatch(80, kNow)), (Int32s{1, 1, 2, 2, 1, 1, 2, 2}));
}

TEST(RequestQueue, LongSequencesOfOneRequestDoNotHoldUpAnother) {
  RequestQueue queue({});
  ASSERT_TRUE(queue.Push(Make(32, 512, 1), kNow).ok());
  EXPECT_EQ(Ids(queue.TakeBatch(256, kNow)), (Int32s{1}));
  // What came while that batch ran is next, though the long one came first.
  ASSERT_TRUE(queue.Push(Make(1, 10, 2), kNow).ok());
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(Ids(queue.TakeBatch(256, kNow)), (Int32s{2}));
  EXPECT_EQ(Ids(queue.TakeBatch(256, kNow)), (Int32s{1}));
}

TEST(RequestQueue, RefusesWhenFull) {
  RequestQueue queue({.max_requests = 2, .max_tokens = 100});
  ASSERT_TRUE(queue.Push(Make(1, 10), kNow).ok());
  ASSERT_TRUE(queue.Push(Make(1, 10), kNow).ok());
  Status third = queue.Push(Make(1, 10), kNow);
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().code, ErrorCode::kResourceExhausted);
  queue.TakeBatch(100, kNow);
  ASSERT_TRUE(queue.Push(Make(1, 90), kNow).ok());
  EXPECT_EQ(queue.Push(Make(1, 11), kNow).error().code, ErrorCode::kResourceExhausted);
  Status never = queue.Push(Make(1, 101), kNow);
  EXPECT_EQ(never.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(never.error().message, "the texts have 101 tokens together; the limit is 100");
}

TEST(RequestQueue, TakesOutTheExpiredAndTheCancelled) {
  RequestQueue queue({});
  std::stop_source stop;
  InferRequest expired = Make(1, 10, 1);
  expired.deadline = kNow + std::chrono::seconds(1);
  InferRequest cancelled = Make(1, 20, 2);
  cancelled.cancelled = stop.get_token();
  ASSERT_TRUE(queue.Push(std::move(expired), kNow).ok());
  ASSERT_TRUE(queue.Push(std::move(cancelled), kNow).ok());
  ASSERT_TRUE(queue.Push(Make(1, 30, 3), kNow).ok());
  EXPECT_TRUE(queue.TakeDead(kNow).empty());
  stop.request_stop();
  auto dead = queue.TakeDead(kNow + std::chrono::seconds(1));
  ASSERT_EQ(dead.size(), 2u);
  EXPECT_EQ(DropError(*dead[0]).code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(DropError(*dead[1]).code, ErrorCode::kCancelled);
  EXPECT_EQ(queue.tokens(), 30);
  EXPECT_EQ(Ids(queue.TakeBatch(100, kNow)), (Int32s{3}));
}

TEST(RequestQueue, TheRestOfALargeRequestIsDroppedToo) {
  RequestQueue queue({});
  std::stop_source stop;
  InferRequest request = Make(100, 10);
  request.cancelled = stop.get_token();
  ASSERT_TRUE(queue.Push(std::move(request), kNow).ok());
  queue.TakeBatch(80, kNow);
  stop.request_stop();
  EXPECT_EQ(queue.TakeDead(kNow).size(), 1u);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.tokens(), 0);
}

}  // namespace
}  // namespace bertie::infer
