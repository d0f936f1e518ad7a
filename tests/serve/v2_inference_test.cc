#include "serve/v2/v2_inference.h"

#include <gtest/gtest.h>

#include <limits>

namespace bertie::serve {
namespace {

using Texts = std::vector<std::string>;
using Integers = std::vector<int64_t>;

const InvocationLimits kLimits{.max_texts = 3, .max_length = 16};
const LabelScheme kThreeLabels{{"ham", "spam", "odd"}, FunctionToApply::kSoftmax};

V2Tensor Text(Texts texts) {
  return {"text", "BYTES", {static_cast<int64_t>(texts.size())}, std::move(texts)};
}

V2Tensor Ids(const std::string& name, Integers values, int64_t rows) {
  return {name, "INT64", {rows, static_cast<int64_t>(values.size()) / rows}, std::move(values)};
}

V2Work Plan(V2Request request) {
  auto planned = PlanV2(std::move(request), kLimits, {}, 3);
  if (const auto* refusal = std::get_if<http::Refusal>(&planned)) {
    ADD_FAILURE() << refusal->message;
    return {};
  }
  return std::get<V2Work>(std::move(planned));
}

http::Refusal Refused(V2Request request) {
  auto planned = PlanV2(std::move(request), kLimits, {}, 3);
  auto* refusal = std::get_if<http::Refusal>(&planned);
  return refusal ? *refusal : http::Refusal{200, "", ""};
}

TEST(V2Inference, TakesTextsAndPairs) {
  V2Request request;
  request.inputs = {Text({"a", "b"}), Text({"c", "d"})};
  request.inputs[1].name = "text_pair";
  const V2Work work = Plan(request);
  ASSERT_EQ(work.inference.texts.size(), 2U);
  EXPECT_EQ(work.inference.texts[1].text, "b");
  EXPECT_EQ(work.inference.texts[1].pair, "d");
  EXPECT_EQ(work.plan.outputs.size(), 3U);

  request.inputs[1].shape = {1};
  EXPECT_EQ(Refused(request).message,
            "the input text_pair has the shape [1]; expected that of text, [2]");
}

TEST(V2Inference, TextsMayStandInAColumn) {
  V2Request request;
  request.inputs = {Text({"a", "b"})};
  request.inputs[0].shape = {2, 1};
  EXPECT_EQ(Plan(request).inference.texts.size(), 2U);
  request.inputs[0].shape = {1, 2};
  EXPECT_EQ(Refused(request).message,
            "the input text has the shape [1,2]; expected [-1] or [-1,1]");
}

TEST(V2Inference, PaddingIsLeftOut) {
  V2Request request;
  request.inputs = {Ids("input_ids", {2, 5, 3, 2, 3, 0}, 2),
                    Ids("attention_mask", {1, 1, 1, 1, 1, 0}, 2),
                    Ids("token_type_ids", {0, 0, 1, 0, 0, 0}, 2)};
  const V2Work work = Plan(request);
  ASSERT_EQ(work.inference.encodings.size(), 2U);
  EXPECT_EQ(work.inference.encodings[0].ids, std::vector<int32_t>({2, 5, 3}));
  EXPECT_EQ(work.inference.encodings[0].type_ids, std::vector<int32_t>({0, 0, 1}));
  EXPECT_EQ(work.inference.encodings[1].ids, std::vector<int32_t>({2, 3}));

  request.inputs[1] = Ids("attention_mask", {1, 1, 1, 0, 1, 1}, 2);
  EXPECT_EQ(Refused(request).message,
            "attention_mask[1] is not ones and then zeros; pad at the end of the row");
}

TEST(V2Inference, NumbersThatAreNoTokensStayWrong) {
  V2Request request;
  request.inputs = {Ids("input_ids", {2, int64_t{1} << 32, -7}, 1)};
  EXPECT_EQ(Plan(request).inference.encodings[0].ids, std::vector<int32_t>({2, -1, -1}));
}

TEST(V2Inference, RefusalsNameTheTensor) {
  V2Request request;
  request.inputs = {Text({"a"}), Ids("input_ids", {1}, 1)};
  EXPECT_EQ(Refused(request).message,
            "the inputs text and input_ids are both there; expected one of them");
  request.inputs = {Text({"a"}), Text({"b"})};
  EXPECT_EQ(Refused(request).message, "the input text is there twice");
  request.inputs = {Text({})};
  EXPECT_EQ(Refused(request).message, "the input text is empty");
  request.inputs = {Text({"a", "b", "c", "d"})};
  EXPECT_EQ(Refused(request).status, 413);
  request.inputs = {Text({"a"})};
  request.inputs[0].name = "x";
  EXPECT_EQ(Refused(request).message,
            "unexpected input 'x'; expected text, text_pair, input_ids, attention_mask, "
            "token_type_ids");
  request.inputs = {Text({"a"})};
  request.outputs = {{"score", {}, 0}};
  EXPECT_EQ(Refused(request).message,
            "unexpected output 'score'; expected logits, probabilities, label");
  request.outputs = {{"label", {}, 2}};
  EXPECT_NE(Refused(request).message.find("no classification"), std::string::npos);
}

TEST(V2Inference, ParametersThatAreNotKnownAreLeftAlone) {
  V2Request request;
  request.inputs = {Text({"a"})};
  request.parameters = {{"priority", 1}, {"truncation", false}, {"timeout", 2'000}};
  const V2Work work = Plan(request);
  EXPECT_EQ(work.inference.truncation.long_texts.mode, LongTexts::kRefuse);
  EXPECT_EQ(work.plan.timeout, std::chrono::microseconds(2'000));
  request.parameters = {{"top_k", 0}};
  EXPECT_EQ(Refused(request).status, 400);
}

TEST(V2Inference, AnswersWhatIsAskedFor) {
  const std::vector<float> logits = {0, 1, -1, 3, 2, 2.5F};
  V2Plan plan;
  plan.id = "i";
  plan.outputs = {{"label", {}, 0}, {"logits", true, 0}};
  auto answer = AnswerV2(plan, logits, kThreeLabels);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->outputs[0].shape, Integers({2}));
  EXPECT_EQ(std::get<Texts>(answer->outputs[0].data), Texts({"spam", "ham"}));
  EXPECT_EQ(answer->outputs[1].shape, Integers({2, 3}));
  EXPECT_EQ(std::get<std::vector<float>>(answer->outputs[1].data), logits);
  EXPECT_EQ(answer->binary, std::vector<bool>({false, true}));

  plan.outputs = {{"logits", {}, 2}};
  answer = AnswerV2(plan, logits, kThreeLabels);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->outputs[0].datatype, "BYTES");
  EXPECT_EQ(answer->outputs[0].shape, Integers({2, 2}));
  EXPECT_EQ(std::get<Texts>(answer->outputs[0].data),
            Texts({"1:1:spam", "0:0:ham", "3:0:ham", "2.5:2:odd"}));
}

TEST(V2Inference, TopKShortensLabelsAndProbabilities) {
  V2Plan plan;
  plan.outputs = {{"label", {}, 0}, {"probabilities", {}, 0}};
  plan.parameters.has_top_k = true;
  plan.parameters.top_k = 2;
  plan.parameters.function_to_apply = FunctionToApply::kNone;
  const auto answer = AnswerV2(plan, std::vector<float>{0, 1, -1}, kThreeLabels);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->outputs[0].shape, Integers({1, 2}));
  EXPECT_EQ(std::get<Texts>(answer->outputs[0].data), Texts({"spam", "ham"}));
  EXPECT_EQ(std::get<std::vector<float>>(answer->outputs[1].data), std::vector<float>({1, 0}));
}

TEST(V2Inference, NoNumberThatIsNoneIsPrinted) {
  V2Plan plan;
  plan.outputs = {{"logits", {}, 0}};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(AnswerV2(plan, std::vector<float>{0, nan, 1}, kThreeLabels).ok());
}

}  // namespace
}  // namespace bertie::serve
