// The batcher with an executor that has several batches under way.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "infer/batcher.h"
#include "infer/sum_executor.h"

namespace bertie::infer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Sequences = std::vector<std::vector<int32_t>>;

std::vector<float> SumsOf(const model::PackedBatch& batch) {
  std::vector<float> logits;
  for (int64_t i = 0; i < batch.size(); ++i) {
    const auto first = batch.token_ids.begin() + batch.cumulative_seq_lengths[i];
    const auto last = batch.token_ids.begin() + batch.cumulative_seq_lengths[i + 1];
    for (const float logit : SumLogits({first, last})) logits.push_back(logit);
  }
  return logits;
}

// Keeps what it was given until it is told what to answer.
class FarExecutor : public Executor {
 public:
  struct Given {
    std::shared_ptr<const model::PackedBatch> batch;
    Clock::time_point deadline;
    Done done;

    void Answer() { done(SumsOf(*batch)); }
    void Fail(ErrorCode code) { done(Error{code, "failed"}); }
  };

  explicit FarExecutor(int max_in_flight, bool shares = false)
      : max_in_flight_(max_in_flight), shares_(shares) {}

  int64_t num_labels() const override { return 2; }
  int max_in_flight() const override { return max_in_flight_; }
  int64_t max_batch_tokens() const override { return 100; }
  bool shares_batches() const override { return shares_; }

  void Start(std::shared_ptr<const model::PackedBatch> batch, Clock::time_point deadline,
             Done done) override {
    std::lock_guard lock(mutex_);
    given_.push_back({std::move(batch), deadline, std::move(done)});
    most_ = std::max(most_, ++under_way_);
    changed_.notify_all();
  }

  // The oldest, or the newest, once there is one.
  Given Take(bool newest = false) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !given_.empty() || closed_; });
    if (given_.empty()) return {};
    const auto place = newest ? given_.end() - 1 : given_.begin();
    Given given = std::move(*place);
    given_.erase(place);
    --under_way_;
    return given;
  }
  size_t waiting() {
    std::lock_guard lock(mutex_);
    return given_.size();
  }
  int most() {
    std::lock_guard lock(mutex_);
    return most_;
  }
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  const int max_in_flight_;
  const bool shares_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::vector<Given> given_;
  int under_way_ = 0;
  int most_ = 0;
  bool closed_ = false;
};

std::future<Result<InferResult>> Ask(Batcher& batcher, const Sequences& sequences,
                                     Clock::time_point deadline = Clock::time_point::max()) {
  auto promise = std::make_shared<std::promise<Result<InferResult>>>();
  InferRequest request;
  for (const auto& ids : sequences) {
    request.sequences.push_back({.ids = ids, .type_ids = std::vector<int32_t>(ids.size(), 0)});
  }
  request.deadline = deadline;
  // A second answer would throw.
  request.done = [promise](Result<InferResult> result) { promise->set_value(std::move(result)); };
  auto answer = promise->get_future();
  const Status status = batcher.Submit(std::move(request));
  if (!status.ok()) promise->set_value(status.error());
  return answer;
}

Result<InferResult> Wait(std::future<Result<InferResult>>& answer) {
  if (answer.wait_for(seconds(30)) == std::future_status::ready) return answer.get();
  return Error{ErrorCode::kInternal, "no answer"};
}

TEST(InFlight, TheNextBatchBeginsAsSoonAsAPlaceIsFree) {
  FarExecutor executor(2);
  Batcher batcher(executor, {});
  auto first = Ask(batcher, {{1}});
  auto second = Ask(batcher, {{2}});
  auto third = Ask(batcher, {{3}});
  auto fourth = Ask(batcher, {{4}});
  EXPECT_EQ(executor.waiting(), 2u);  // begun by whoever submitted
  EXPECT_EQ(batcher.queued_requests(), 2u);
  executor.Take(true).Answer();
  EXPECT_EQ(Wait(second)->logits, SumLogits({2}));
  EXPECT_EQ(executor.waiting(), 2u);
  auto both = executor.Take(true);
  EXPECT_EQ(both.batch->size(), 2);  // those that waited share a batch
  both.Answer();
  EXPECT_EQ(Wait(third)->logits, SumLogits({3}));
  EXPECT_EQ(Wait(fourth)->logits, SumLogits({4}));
  executor.Take().Answer();
  EXPECT_EQ(Wait(first)->logits, SumLogits({1}));
  EXPECT_EQ(executor.most(), 2);
}

// Each takes its part of what waits, and all together no more than is computed at once.
TEST(InFlight, PlacesThatShareTheMachineShareWhatWaits) {
  FarExecutor executor(2, true);
  Batcher batcher(executor, {.max_batch_tokens = 100, .queue = {}, .on_batch = {}});
  auto first = Ask(batcher, {{1}});
  auto second = Ask(batcher, {{2}});
  auto many = Ask(batcher, Sequences(24, std::vector<int32_t>(5, 3)));
  executor.Take().Answer();  // 120 tokens wait, of which a place takes half, 50 at most
  std::vector<int64_t> sizes;
  for (int i = 0; i < 5; ++i) {
    auto given = executor.Take();
    if (given.batch->token_ids.front() == 3) sizes.push_back(given.batch->tokens());
    given.Answer();
    if (many.wait_for(seconds(0)) == std::future_status::ready) break;
  }
  EXPECT_EQ(sizes, (std::vector<int64_t>{50, 35, 20, 15}));
  EXPECT_TRUE(Wait(many).ok());
  // All places are free: each gets half.
  auto four = Ask(batcher, Sequences(4, {3, 3}));
  for (int i = 0; i < 2; ++i) {
    auto given = executor.Take();
    EXPECT_EQ(given.batch->size(), 2);
    given.Answer();
  }
  EXPECT_TRUE(Wait(four).ok());
  EXPECT_TRUE(Wait(first).ok());
  EXPECT_TRUE(Wait(second).ok());
}

TEST(InFlight, ARequestInManyBatchesIsPutTogetherInAnyOrder) {
  FarExecutor executor(4);
  Batcher batcher(executor, {.max_batch_tokens = 1000, .queue = {}, .on_batch = {}});
  Sequences sequences;
  std::vector<float> expected;
  for (int32_t i = 0; i < 100; ++i) {
    sequences.push_back(std::vector<int32_t>(10, i));
    for (const float logit : SumLogits(sequences.back())) expected.push_back(logit);
  }
  auto answer = Ask(batcher, sequences);
  for (int i = 0; i < 10; ++i) {
    auto given = executor.Take(i % 2 == 0);
    EXPECT_LE(given.batch->tokens(), 100);  // the executor's limit
    given.Answer();
  }
  EXPECT_EQ(Wait(answer)->logits, expected);
}

TEST(InFlight, NobodyWaitsOverHisDeadlineWhateverTheExecutorDoes) {
  FarExecutor executor(1);
  Batcher batcher(executor, {});
  const auto soon = Clock::now() + milliseconds(20);
  auto begun = Ask(batcher, {{1}}, soon);
  auto waiting = Ask(batcher, {{2}}, soon + milliseconds(5));
  auto patient = Ask(batcher, {{3}});
  EXPECT_EQ(Wait(begun).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(Wait(waiting).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_GE(Clock::now(), soon);
  auto given = executor.Take();
  EXPECT_EQ(given.deadline, soon);
  given.Answer();  // too late, and no second answer
  executor.Take().Answer();
  EXPECT_EQ(Wait(patient)->logits, SumLogits({3}));
}

TEST(InFlight, OnlyFaultsOfTheBatchAreTriedAgainInParts) {
  FarExecutor executor(1);
  Batcher batcher(executor, {});
  for (const ErrorCode code : {ErrorCode::kUnavailable, ErrorCode::kDeadlineExceeded}) {
    auto hold = Ask(batcher, {{9}});
    auto one = Ask(batcher, {{1}});
    auto two = Ask(batcher, {{2}});
    executor.Take().Answer();
    executor.Take().Fail(code);
    EXPECT_EQ(Wait(one).error().code, code);
    EXPECT_EQ(Wait(two).error().code, code);
    EXPECT_EQ(executor.waiting(), 0u);
  }
  auto hold = Ask(batcher, {{9}});
  auto one = Ask(batcher, {{1}});
  auto two = Ask(batcher, {{2}});
  executor.Take().Answer();
  executor.Take().Fail(ErrorCode::kInvalidArgument);
  executor.Take().Answer();
  executor.Take().Fail(ErrorCode::kInvalidArgument);
  EXPECT_EQ(Wait(one)->logits, SumLogits({1}));
  EXPECT_EQ(Wait(two).error().code, ErrorCode::kInvalidArgument);
}

TEST(InFlight, TheEndWaitsForWhatIsUnderWay) {
  FarExecutor executor(2);
  auto batcher = std::make_unique<Batcher>(executor, BatcherOptions{});
  auto first = Ask(*batcher, {{1}});
  auto second = Ask(*batcher, {{2}});
  auto waiting = Ask(*batcher, {{3}});
  std::thread end([&] { batcher.reset(); });
  EXPECT_EQ(Wait(waiting).error().code, ErrorCode::kUnavailable);
  executor.Take().Answer();
  executor.Take().Answer();
  end.join();
  EXPECT_EQ(Wait(first)->logits, SumLogits({1}));
  EXPECT_EQ(Wait(second)->logits, SumLogits({2}));
}

TEST(InFlight, ManyThreadsSubmitAndManyAnswer) {
  FarExecutor executor(5);
  std::atomic<int> good{0};
  std::vector<std::thread> answering;
  {
    Batcher batcher(executor, {.max_batch_tokens = 50, .queue = {}, .on_batch = {}});
    for (int i = 0; i < 3; ++i) {
      answering.emplace_back([&, i] {
        for (auto given = executor.Take(i == 0); given.batch; given = executor.Take(i == 0)) {
          given.Answer();
        }
      });
    }
    std::vector<std::thread> asking;
    for (unsigned seed = 1; seed <= 4; ++seed) {
      asking.emplace_back([&, seed] {
        std::mt19937 random(seed);
        for (int i = 0; i < 200; ++i) {
          Sequences sequences(1 + random() % 6);
          std::vector<float> expected;
          for (auto& ids : sequences) {
            ids.resize(1 + random() % 20);
            for (auto& id : ids) id = static_cast<int32_t>(random() % 500);
            for (const float logit : SumLogits(ids)) expected.push_back(logit);
          }
          auto answer = Ask(batcher, sequences);
          const auto result = Wait(answer);
          good += result.ok() && result->logits == expected;
        }
      });
    }
    for (auto& thread : asking) thread.join();
  }
  executor.Close();
  for (auto& thread : answering) thread.join();
  EXPECT_EQ(good, 800);
  EXPECT_LE(executor.most(), 5);
}

}  // namespace
}  // namespace bertie::infer
