#include "serve/answer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

namespace bertie::serve {
namespace {

const std::vector<float> kLogits = {0.5f, -1.25f, 2.0f,    // best: red
                                    3.0f, 0.0f,   -1.0f};  // best: gr"een
const LabelScheme kScheme{{"gr\"een", "blue", "red"}, FunctionToApply::kNone};

// The answer to `texts` texts that stood in that container.
std::string Answer(Invocation::Container container, Parameters parameters, size_t texts = 1,
                   MediaType type = MediaType::kJson) {
  Invocation invocation{
      .container = container, .form = AnswerForm::kScores, .parameters = parameters};
  auto body = FormatAnswer(invocation, std::span(kLogits).first(texts * 3), kScheme, type);
  return body.ok() ? *body : body.error().message;
}

using enum Invocation::Container;

Parameters TopK(std::optional<int64_t> top_k) {
  Parameters parameters;
  parameters.has_top_k = true;
  parameters.top_k = top_k;
  return parameters;
}

Parameters AllScores() {
  Parameters parameters;
  parameters.return_all_scores = true;
  return parameters;
}

constexpr const char* kRed = R"({"label":"red","score":2})";
constexpr const char* kGreen = R"({"label":"gr\"een","score":3})";
constexpr const char* kSorted =
    R"([{"label":"red","score":2},{"label":"gr\"een","score":0.5},{"label":"blue","score":-1.25}])";
constexpr const char* kInOrder =
    R"([{"label":"gr\"een","score":0.5},{"label":"blue","score":-1.25},{"label":"red","score":2}])";

TEST(FormatAnswer, ShapeOfATextWithoutTopK) {
  EXPECT_EQ(Answer(kText, {}), "[" + std::string(kRed) + "]");
}
TEST(FormatAnswer, ShapeOfAnObjectWithoutTopK) { EXPECT_EQ(Answer(kObject, {}), kRed); }
TEST(FormatAnswer, ShapeOfAListWithoutTopK) {
  EXPECT_EQ(Answer(kList, {}, 2), "[" + std::string(kRed) + "," + kGreen + "]");
}
TEST(FormatAnswer, ShapeOfATextWithAllLabels) { EXPECT_EQ(Answer(kText, TopK({})), kSorted); }
TEST(FormatAnswer, ShapeOfAnObjectWithAllLabels) { EXPECT_EQ(Answer(kObject, TopK({})), kSorted); }
TEST(FormatAnswer, ShapeOfATextWithTopOne) {
  EXPECT_EQ(Answer(kText, TopK(1)), "[" + std::string(kRed) + "]");
}
TEST(FormatAnswer, ShapeOfAListWithTopOne) {
  EXPECT_EQ(Answer(kList, TopK(1), 2), "[[" + std::string(kRed) + "],[" + kGreen + "]]");
}
TEST(FormatAnswer, TopKBeyondTheLabelsIsAll) { EXPECT_EQ(Answer(kText, TopK(99)), kSorted); }
TEST(FormatAnswer, ShapeOfATextWithReturnAllScores) {
  EXPECT_EQ(Answer(kText, AllScores()), "[" + std::string(kInOrder) + "]");
}
TEST(FormatAnswer, ShapeOfAnObjectWithReturnAllScores) {
  EXPECT_EQ(Answer(kObject, AllScores()), kInOrder);
}

TEST(FormatAnswer, LogitsAsJsonAndCsv) {
  Invocation invocation;
  EXPECT_EQ(*FormatAnswer(invocation, kLogits, kScheme, MediaType::kJson),
            "[[0.5,-1.25,2],[3,0,-1]]");
  EXPECT_EQ(*FormatAnswer(invocation, kLogits, kScheme, MediaType::kCsv), "0.5,-1.25,2\n3,0,-1\n");
  invocation.form = AnswerForm::kPredictions;
  EXPECT_EQ(*FormatAnswer(invocation, kLogits, kScheme, MediaType::kJson),
            "{\"predictions\":[[0.5,-1.25,2],[3,0,-1]]}");
}

TEST(FormatAnswer, ScoresAsCsv) {
  EXPECT_EQ(Answer(kList, {}, 2, MediaType::kCsv), "label,score\nred,2\n\"gr\"\"een\",3\n");
}

TEST(FormatAnswer, NeverPrintsWhatIsNotANumber) {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits = {1, bad, 2};
    auto body = FormatAnswer({}, logits, kScheme, MediaType::kJson);
    ASSERT_FALSE(body.ok());
    EXPECT_EQ(body.error().code, ErrorCode::kInternal);
  }
}

TEST(Scores, SoftmaxAndSigmoid) {
  auto softmax = Scores(std::vector<float>{1, 2, 3}, FunctionToApply::kSoftmax);
  EXPECT_FLOAT_EQ(softmax[0], 0.09003057f);
  EXPECT_FLOAT_EQ(softmax[2], 0.66524096f);
  // Neither end of the range overflows.
  auto wide = Scores(std::vector<float>{1e30f, -1e30f}, FunctionToApply::kSoftmax);
  EXPECT_EQ(wide, (std::vector<float>{1, 0}));
  auto sigmoid = Scores(std::vector<float>{0, 200, -200}, FunctionToApply::kSigmoid);
  EXPECT_EQ(sigmoid[0], 0.5f);
  EXPECT_EQ(sigmoid[1], 1.0f);
  EXPECT_NEAR(sigmoid[2], 0.0f, 1e-37f);
}

TEST(MakeLabelScheme, PicksTheFunctionByProblemType) {
  EXPECT_EQ(MakeLabelScheme({}, 2, "").function, FunctionToApply::kSoftmax);
  EXPECT_EQ(MakeLabelScheme({}, 1, "").function, FunctionToApply::kSigmoid);
  EXPECT_EQ(MakeLabelScheme({}, 1, "regression").function, FunctionToApply::kNone);
  EXPECT_EQ(MakeLabelScheme({}, 3, "multi_label_classification").function,
            FunctionToApply::kSigmoid);
  EXPECT_EQ(MakeLabelScheme({}, 2, "").labels, (std::vector<std::string>{"LABEL_0", "LABEL_1"}));
}

TEST(AppendFloat, ReadsBackAsTheSameFloat) {
  std::mt19937 random(1);
  for (int i = 0; i < 100'000; ++i) {
    uint32_t bits = static_cast<uint32_t>(random());
    float value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    if (!std::isfinite(value)) continue;
    std::string text;
    AppendFloat(value, text);
    float back = std::strtof(text.c_str(), nullptr);
    ASSERT_EQ(std::memcmp(&back, &value, sizeof(value)), 0) << text;
    ASSERT_LE(text.size(), 15u) << text;
  }
}

}  // namespace
}  // namespace bertie::serve
