#include "serve/inference.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "infer/sum_executor.h"
#include "serve/model_table.h"
#include "serve/small_model.h"

namespace bertie::serve {
namespace {

using Kind = InferenceError::Kind;

class InferenceTest : public testing::Test {
 protected:
  void SetUp() override { model = table.Adopt(SmallModel({"a"}, executor, metrics)); }

  InferenceResult Ask(InferenceRequest request) {
    std::promise<InferenceResult> promise;
    request.model = model;
    Infer(std::move(request),
          [&](InferenceResult result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }
  Inference Answer(InferenceRequest request) {
    InferenceResult result = Ask(std::move(request));
    EXPECT_TRUE(std::holds_alternative<Inference>(result));
    return std::get<Inference>(std::move(result));
  }
  InferenceError Fail(InferenceRequest request) {
    InferenceResult result = Ask(std::move(request));
    EXPECT_TRUE(std::holds_alternative<InferenceError>(result));
    return std::get<InferenceError>(std::move(result));
  }
  // The ids that the last batch was made of.
  std::vector<int32_t> Computed() { return executor.batches().back().token_ids; }

  infer::SumExecutor executor;
  Metrics metrics;
  ModelTable table;
  ModelPointer model;
};

TEST_F(InferenceTest, TextsGiveLogitsCountsAndTimes) {
  const Inference answer = Answer({.texts = {{"a b", {}}, {"c c c c c c c c", {}}}});
  EXPECT_EQ(answer.logits.size(), 4u);
  EXPECT_EQ(answer.logits[0], 14);
  EXPECT_EQ(answer.texts[0].tokens, 4u);
  EXPECT_FALSE(answer.texts[0].truncated);
  EXPECT_EQ(answer.texts[1].tokens, 8u);
  EXPECT_TRUE(answer.texts[1].truncated);
  EXPECT_EQ(answer.CountTruncated(), 1u);
  EXPECT_GT(answer.times.tokenize, 0);
  EXPECT_GT(answer.times.compute, 0);
}

TEST_F(InferenceTest, TokenIdsGiveWhatTheirTextGives) {
  const Inference answer = Answer({.encodings = {{{2, 4, 5, 3}, {0, 0, 0, 0}}}});
  EXPECT_EQ(answer.logits, Answer({.texts = {{"a b", {}}}}).logits);
}

TEST_F(InferenceTest, TokensDropFromTheLeft) {
  const Truncation left{.max_length = 5, .side = TruncationSide::kLeft};
  const Inference one = Answer({.texts = {{"a a a b c", {}}}, .truncation = left});
  EXPECT_EQ(Computed(), (std::vector<int32_t>{2, 4, 5, 6, 3}));
  EXPECT_TRUE(one.texts[0].truncated);
  Answer({.texts = {{"a", "a a b c"}}, .truncation = left});
  EXPECT_EQ(Computed(), (std::vector<int32_t>{2, 4, 3, 6, 3}));
  Answer({.texts = {{"a a b", {}}}, .truncation = left});
  EXPECT_EQ(Computed(), (std::vector<int32_t>{2, 4, 4, 5, 3}));
}

TEST_F(InferenceTest, EachTextMayBeCutInItsOwnWay) {
  const std::vector<Truncation> each = {{.max_length = 5, .side = TruncationSide::kLeft},
                                        {.max_length = 4}};
  const Inference answer =
      Answer({.texts = {{"a a a b c", {}}, {"a a a b c", {}}}, .truncations = each});
  EXPECT_EQ(answer.texts[0].tokens, 5u);
  EXPECT_EQ(answer.texts[1].tokens, 4u);
  EXPECT_EQ(answer.logits[0], 2 + 4 + 5 + 6 + 3);
  EXPECT_EQ(answer.logits[2], 2 + 4 + 4 + 3);
}

TEST_F(InferenceTest, TextsOverTheLengthAreNamed) {
  const InferenceError error =
      Fail({.texts = {{"a", {}}, {"a a a a a a a", {}}}, .truncation = {.truncate = false}});
  EXPECT_EQ(error.kind, Kind::kTextTooLong);
  EXPECT_EQ(error.text, 1u);
  EXPECT_EQ(error.found, 9u);
  EXPECT_EQ(error.limit, 8u);
  EXPECT_EQ(ToRefusal(error, "[1]").message,
            "[1] has 9 tokens; the limit is 8 (truncation is off)");
}

TEST_F(InferenceTest, TokenIdsAreChecked) {
  using Encodings = std::vector<text::Encoding>;
  for (const Encodings& bad :
       {Encodings{{{}, {}}}, Encodings{{{2, 7}, {0, 0}}}, Encodings{{{2, -1}, {0, 0}}},
        Encodings{{{2, 3}, {0, 2}}}, Encodings{{{2, 3}, {0}}}}) {
    EXPECT_EQ(Fail({.encodings = bad}).kind, Kind::kBadTokens);
  }
  const std::vector<int32_t> nine(9, 4), types(9, 0);
  EXPECT_EQ(Fail({.encodings = {{nine, types}}}).kind, Kind::kTextTooLong);
  EXPECT_EQ(executor.batches().size(), 0u);
}

TEST_F(InferenceTest, ErrorsOfTheExecutorAndTheQueueHaveTheirKinds) {
  model = table.Adopt(SmallModel({"b"}, executor, metrics, {.max_requests = 8, .max_tokens = 6}));
  EXPECT_EQ(Fail({.texts = {{"a a a a a", {}}}}).kind, Kind::kTooManyTokens);
  EXPECT_EQ(Fail({.texts = {{"a", {}}}, .deadline = Clock::now()}).kind, Kind::kDeadlineExceeded);
  std::stop_source gone;
  gone.request_stop();
  EXPECT_EQ(Fail({.texts = {{"a", {}}}, .cancelled = gone.get_token()}).kind, Kind::kCancelled);
  EXPECT_EQ(executor.batches().size(), 0u);
}

}  // namespace
}  // namespace bertie::serve
