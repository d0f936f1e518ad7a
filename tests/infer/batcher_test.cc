#include "infer/batcher.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "infer/sum_executor.h"

namespace bertie::infer {
namespace {

using std::chrono::seconds;
using Sequences = std::vector<std::vector<int32_t>>;

// A request and the answer that comes to it.
struct Asked {
  std::shared_ptr<std::promise<Result<InferResult>>> promise =
      std::make_shared<std::promise<Result<InferResult>>>();
  std::future<Result<InferResult>> answer = promise->get_future();
  InferRequest request;

  explicit Asked(const Sequences& sequences) {
    for (const auto& ids : sequences) {
      request.sequences.push_back({.ids = ids, .type_ids = std::vector<int32_t>(ids.size(), 0)});
    }
    request.done = [promise = promise](Result<InferResult> result) {
      promise->set_value(std::move(result));
    };
  }

  Result<InferResult> Wait() {
    if (answer.wait_for(seconds(30)) != std::future_status::ready) {
      return Error{ErrorCode::kInternal, "no answer"};
    }
    return answer.get();
  }
};

std::vector<float> Expected(const Sequences& sequences) {
  std::vector<float> logits;
  for (const auto& ids : sequences) {
    for (float logit : SumLogits(ids)) logits.push_back(logit);
  }
  return logits;
}

TEST(Batcher, AnswersOneRequest) {
  SumExecutor executor;
  Batcher batcher(executor, {});
  Asked asked(Sequences{{1, 2, 3}, {4}});
  ASSERT_TRUE(batcher.Submit(std::move(asked.request)).ok());
  auto result = asked.Wait();
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->logits, (std::vector<float>{6, 14, 4, 4}));
  EXPECT_GE(result->total_time, result->queue_time);
}

TEST(Batcher, WhatCameMeanwhileIsTheNextBatch) {
  SumExecutor executor;
  executor.CloseGate();
  Batcher batcher(executor, {});
  Asked first(Sequences{{1}});
  ASSERT_TRUE(batcher.Submit(std::move(first.request)).ok());
  executor.WaitUntilRunning();
  Asked second(Sequences{{2, 2}});
  Asked third(Sequences{{3, 3, 3}});
  ASSERT_TRUE(batcher.Submit(std::move(second.request)).ok());
  ASSERT_TRUE(batcher.Submit(std::move(third.request)).ok());
  EXPECT_EQ(batcher.queued_requests(), 2u);
  EXPECT_EQ(batcher.queued_tokens(), 5);
  executor.OpenGate();
  EXPECT_EQ(first.Wait()->logits, Expected(Sequences{{1}}));
  EXPECT_EQ(second.Wait()->logits, Expected(Sequences{{2, 2}}));
  EXPECT_EQ(third.Wait()->logits, Expected(Sequences{{3, 3, 3}}));
  auto batches = executor.batches();
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[1].size(), 2);
}

TEST(Batcher, ALargeRequestComesBackWholeAndInOrder) {
  SumExecutor executor;
  Batcher batcher(executor, {.max_batch_tokens = 64, .queue = {}, .on_batch = {}});
  Sequences sequences;
  for (int32_t i = 0; i < 500; ++i) sequences.push_back(std::vector<int32_t>(1 + i % 9, i));
  Asked asked(sequences);
  ASSERT_TRUE(batcher.Submit(std::move(asked.request)).ok());
  EXPECT_EQ(asked.Wait()->logits, Expected(sequences));
  for (const auto& batch : executor.batches()) EXPECT_LE(batch.tokens(), 64);
}

// A request with one sentence, sent after one with a thousand, waits for the batch that runs and is
// in the next.
TEST(Batcher, ASmallRequestIsNotHeldUpByALargeOne) {
  SumExecutor executor;
  executor.CloseGate();
  Batcher batcher(executor, {.max_batch_tokens = 80, .queue = {}, .on_batch = {}});
  Asked large(Sequences(1000, std::vector<int32_t>(10, 1)));
  ASSERT_TRUE(batcher.Submit(std::move(large.request)).ok());
  executor.WaitUntilRunning();
  Asked small(Sequences{{7}});
  ASSERT_TRUE(batcher.Submit(std::move(small.request)).ok());
  executor.OpenGate();
  ASSERT_TRUE(small.Wait().ok());
  ASSERT_TRUE(large.Wait().ok());
  auto batches = executor.batches();
  ASSERT_GE(batches.size(), 125u);
  const auto& ids = batches[1].token_ids;
  EXPECT_NE(std::find(ids.begin(), ids.end(), 7), ids.end());
}

TEST(Batcher, NothingIsComputedForThoseWhoLeftOrWhoseTimeIsUp) {
  SumExecutor executor;
  executor.CloseGate();
  Batcher batcher(executor, {});
  Asked first(Sequences{{1}});
  ASSERT_TRUE(batcher.Submit(std::move(first.request)).ok());
  executor.WaitUntilRunning();

  std::stop_source stop;
  Asked gone(Sequences{{2}});
  gone.request.cancelled = stop.get_token();
  Asked late(Sequences{{3}});
  late.request.deadline = Clock::now();
  Asked last(Sequences{{4}});
  ASSERT_TRUE(batcher.Submit(std::move(gone.request)).ok());
  ASSERT_TRUE(batcher.Submit(std::move(late.request)).ok());
  ASSERT_TRUE(batcher.Submit(std::move(last.request)).ok());
  stop.request_stop();
  executor.OpenGate();
  EXPECT_EQ(gone.Wait().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(late.Wait().error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(last.Wait().ok());
  EXPECT_EQ(batcher.computed_tokens(), 2);
}

TEST(Batcher, AFaultOfOneRequestIsNotItsNeighbours) {
  SumExecutor executor;
  executor.CloseGate();
  Batcher batcher(executor, {});
  Asked first(Sequences{{1}});
  ASSERT_TRUE(batcher.Submit(std::move(first.request)).ok());
  executor.WaitUntilRunning();
  Asked good(Sequences{{2, 3}, {4}});
  Asked bad(Sequences{{5}, {SumExecutor::kPoison}});
  Asked other(Sequences{{6}});
  ASSERT_TRUE(batcher.Submit(std::move(good.request)).ok());
  ASSERT_TRUE(batcher.Submit(std::move(bad.request)).ok());
  ASSERT_TRUE(batcher.Submit(std::move(other.request)).ok());
  executor.OpenGate();
  EXPECT_EQ(good.Wait()->logits, Expected(Sequences{{2, 3}, {4}}));
  EXPECT_EQ(bad.Wait().error().message, "poison");
  EXPECT_EQ(other.Wait()->logits, Expected(Sequences{{6}}));
}

TEST(Batcher, AFullQueueRefusesAtOnce) {
  SumExecutor executor;
  executor.CloseGate();
  Batcher batcher(executor, {.max_batch_tokens = 64, .queue = {.max_requests = 1}, .on_batch = {}});
  Asked first(Sequences{{1}});
  ASSERT_TRUE(batcher.Submit(std::move(first.request)).ok());
  executor.WaitUntilRunning();
  Asked second(Sequences{{2}});
  ASSERT_TRUE(batcher.Submit(std::move(second.request)).ok());
  Asked third(Sequences{{3}});
  auto status = batcher.Submit(std::move(third.request));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kResourceExhausted);
  executor.OpenGate();
  EXPECT_TRUE(first.Wait().ok());
  EXPECT_TRUE(second.Wait().ok());
}

TEST(Batcher, TheEndAnswersThoseWhoWait) {
  SumExecutor executor;
  executor.CloseGate();
  auto* batcher = new Batcher(executor, {});
  Asked running(Sequences{{1}});
  ASSERT_TRUE(batcher->Submit(std::move(running.request)).ok());
  executor.WaitUntilRunning();
  Asked waiting(Sequences{{2}});
  ASSERT_TRUE(batcher->Submit(std::move(waiting.request)).ok());
  std::thread end([batcher] { delete batcher; });
  // The end has begun once it takes no more; it cannot be over before the gate opens.
  for (bool taken = true; taken; std::this_thread::yield()) {
    Asked probe(Sequences{{3}});
    const Status probed = batcher->Submit(std::move(probe.request));
    taken = probed.ok() || probed.error().code == ErrorCode::kResourceExhausted;  // of probes
  }
  executor.OpenGate();
  end.join();
  EXPECT_TRUE(running.Wait().ok());
  EXPECT_EQ(waiting.Wait().error().code, ErrorCode::kUnavailable);
}

TEST(Batcher, ManyThreadsSubmit) {
  SumExecutor executor;
  Batcher batcher(executor, {.max_batch_tokens = 50, .queue = {}, .on_batch = {}});
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 200; ++i) {
        Sequences sequences(1 + random() % 6);
        for (auto& ids : sequences) {
          ids.resize(1 + random() % 20);
          for (auto& id : ids) id = static_cast<int32_t>(random() % 500);
        }
        Asked asked(sequences);
        if (!batcher.Submit(std::move(asked.request)).ok()) continue;
        auto result = asked.Wait();
        good += result.ok() && result->logits == Expected(sequences);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 800);
}

}  // namespace
}  // namespace bertie::infer
