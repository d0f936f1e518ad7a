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
  const LongTextOptions refuse{.mode = LongTexts::kRefuse};
  const InferenceError error =
      Fail({.texts = {{"a", {}}, {"a a a a a a a", {}}}, .truncation = {.long_texts = refuse}});
  EXPECT_EQ(error.kind, Kind::kTextTooLong);
  EXPECT_EQ(error.text, 1u);
  EXPECT_EQ(error.found, 9u);
  EXPECT_EQ(error.limit, 8u);
  EXPECT_EQ(ToRefusal(error, "[1]").message,
            "[1] has 9 tokens; the limit is 8 (truncation is off)");
}

TEST_F(InferenceTest, LongTextsInWindowsGiveTheirMean) {
  // [CLS] a a a a b b [SEP] and [CLS] a b b c [SEP], after which comes a short one.
  const std::string text = "a a a a b b c";
  const Truncation windows{.long_texts = {.mode = LongTexts::kWindows, .stride = 3}};
  const Inference answer = Answer({.texts = {{text, {}}, {"a", {}}}, .truncation = windows});
  const auto first = infer::SumLogits({2, 4, 4, 4, 4, 5, 5, 3});
  const auto second = infer::SumLogits({2, 4, 5, 5, 6, 3});
  ASSERT_EQ(answer.logits.size(), 4u);
  EXPECT_FLOAT_EQ(answer.logits[0], (6 * first[0] + second[0]) / 7);
  EXPECT_FLOAT_EQ(answer.logits[1], (6 * first[1] + second[1]) / 7);
  EXPECT_EQ(answer.logits[2], infer::SumLogits({2, 4, 3})[0]);
  EXPECT_EQ(answer.CountTruncated(), 0u);
  EXPECT_EQ(answer.CountWindowed(), 1u);
  EXPECT_EQ(answer.texts[0].windows, 2u);
  EXPECT_EQ(answer.texts[0].tokens, 14u);
  EXPECT_EQ(answer.texts[1].tokens, 3u);
  std::vector<http::Field> fields;
  AddReadingFields(answer, fields);
  ASSERT_EQ(fields.size(), 1u);
  EXPECT_EQ(fields[0].name + ": " + fields[0].value, "x-bertie-windows: 3");
  EXPECT_NE(metrics.Format({}).find("bertie_windowed_total{model=\"a\",version=\"1\"} 1\n"),
            std::string::npos);
}

TEST_F(InferenceTest, AShortTextIsTheSameInWindows) {
  const Truncation windows{.long_texts = {.mode = LongTexts::kWindows}};
  const Inference answer = Answer({.texts = {{"a b", "c"}}, .truncation = windows});
  EXPECT_EQ(answer.logits, Answer({.texts = {{"a b", "c"}}}).logits);
  EXPECT_EQ(answer.CountWindowed(), 0u);
  std::vector<http::Field> fields;
  AddReadingFields(answer, fields);
  EXPECT_TRUE(fields.empty());
}

TEST_F(InferenceTest, WindowsWithoutRoomOrOverTheQueueAreRefused) {
  const Truncation windows{.long_texts = {.mode = LongTexts::kWindows}};
  const InferenceError error =
      Fail({.texts = {{"a", {}}, {"a a a", "b b b b b"}}, .truncation = windows});
  EXPECT_EQ(error.kind, Kind::kNoWindow);
  EXPECT_EQ(ToRefusal(error, "[1]").message,
            "[1] has a second text of 5 tokens, kept whole in windows of 8 tokens; expected at "
            "most 4");
  model = table.Adopt(SmallModel({"c"}, executor, metrics, {.max_requests = 8, .max_tokens = 20}));
  std::string text = "a a a a a a a a a a a a a a a a";
  EXPECT_EQ(ToRefusal(Fail({.texts = {{text, {}}}, .truncation = windows}), "[0]").message,
            "[0] has 24 tokens in its 3 windows; the limit is 20");
  const InferenceError many = Fail(
      {.texts = {{"a a a a a a a", {}}, {"a a a a a a a", {}}, {"a", {}}}, .truncation = windows});
  EXPECT_EQ(many.kind, Kind::kTooManyTokens);
  EXPECT_EQ(many.message, "the first 2 texts have 24 tokens together; the limit is 20");
  EXPECT_EQ(executor.batches().size(), 0u);
}

TEST(LongTextOptions, ARequestMaySayOtherwise) {
  const LongTextOptions cut{}, refuse{.mode = LongTexts::kRefuse},
      windows{.mode = LongTexts::kWindows, .stride = 3};
  for (const LongTextOptions& options : {cut, refuse, windows}) {
    EXPECT_EQ(options.With(std::nullopt).mode, options.mode);
    EXPECT_EQ(options.With(true).mode, LongTexts::kCut);
    EXPECT_EQ(options.With(std::nullopt).stride, options.stride);
  }
  EXPECT_EQ(cut.With(false).mode, LongTexts::kRefuse);
  EXPECT_EQ(refuse.With(false).mode, LongTexts::kRefuse);
  EXPECT_EQ(windows.With(false).mode, LongTexts::kWindows) << "which cut nothing";
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
