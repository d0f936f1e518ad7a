#include "serve/tei/tei_message.h"

#include <gtest/gtest.h>

#include <limits>

namespace bertie::serve {
namespace {

template <class Body>
http::Refusal RefusalOf(const TeiParsed<Body>& parsed) {
  const auto* refusal = std::get_if<http::Refusal>(&parsed);
  return refusal ? *refusal : http::Refusal{200, "", ""};
}

TeiPredict Predict(std::string_view body) {
  auto parsed = ParseTeiPredict(body, 3);
  EXPECT_TRUE(std::holds_alternative<TeiPredict>(parsed)) << RefusalOf(parsed).message;
  return std::holds_alternative<TeiPredict>(parsed) ? std::get<TeiPredict>(parsed) : TeiPredict{};
}

TEST(TeiMessage, AFlatListIsOnePair) {
  TeiPredict request = Predict(R"({"inputs":["a","b"]})");
  ASSERT_EQ(request.texts.size(), 1U);
  EXPECT_FALSE(request.batch);
  EXPECT_EQ(request.texts[0].pair, "b");

  request = Predict(R"({"inputs":[["a"],["b","c"]]})");
  ASSERT_EQ(request.texts.size(), 2U);
  EXPECT_TRUE(request.batch);
  EXPECT_FALSE(request.texts[0].pair);
  EXPECT_EQ(request.texts[1].pair, "c");

  EXPECT_FALSE(Predict(R"({"inputs":"a"})").batch);
  EXPECT_EQ(Predict(R"({"inputs":["a"]})").texts[0].text, "a");
}

TEST(TeiMessage, Options) {
  const TeiPredict request = Predict(
      R"({"inputs":"a","truncate":true,"truncation_direction":"Left","raw_scores":true,"x":1})");
  EXPECT_EQ(request.options.truncate, true);
  EXPECT_EQ(request.options.side, TruncationSide::kLeft);
  EXPECT_TRUE(request.options.raw_scores);
  EXPECT_FALSE(Predict(R"({"inputs":"a","truncate":null})").options.truncate);
}

TEST(TeiMessage, RefusalsHaveTeisKinds) {
  const auto refused = [](std::string_view body) { return RefusalOf(ParseTeiPredict(body, 3)); };
  for (const char* body :
       {R"({"inputs":["a","b","c"]})", R"({"inputs":[]})", R"({"inputs":[["a"],"b"]})",
        R"({"inputs":[[]]})", R"({"inputs":3})", R"({})", R"([])",
        R"({"inputs":"a","truncation_direction":"left"})", R"({"inputs":"a","raw_scores":1})"}) {
    EXPECT_EQ(refused(body).status, 422) << body;
    EXPECT_STREQ(refused(body).type, "PlainText") << body;
  }
  EXPECT_EQ(refused("{").status, 400);
  EXPECT_STREQ(refused("{").type, "PlainText");
  const auto many = refused(R"({"inputs":[["a"],["b"],["c"],["d"]]})");
  EXPECT_EQ(many.status, 413);
  EXPECT_STREQ(many.type, "Validation");
  EXPECT_EQ(many.message, "batch size 4 > maximum allowed batch size 3");
  EXPECT_EQ(refused(R"({"inputs":""})").message, "`inputs` cannot be empty");
  const auto none = RefusalOf(ParseTeiRerank(R"({"query":"a","texts":[]})", 3));
  EXPECT_EQ(none.status, 400);
  EXPECT_STREQ(none.type, "Empty");
  EXPECT_STREQ(RefusalOf(ParseTeiTokenize(R"({"inputs":[]})", 3)).type, "Empty");
  EXPECT_EQ(RefusalOf(ParseTeiDecode(R"({"ids":[1,-1]})", 3)).status, 422);
}

TEST(TeiMessage, AQueryIsNotMultipliedIntoGigabytes) {
  const auto status = [](size_t query) {
    const std::string body =
        R"({"texts":["a","b","c"],"query":")" + std::string(query, 'q') + R"("})";
    return RefusalOf(ParseTeiRerank(body, 3)).status;
  };
  EXPECT_EQ(status(1 << 20), 200);
  EXPECT_EQ(status(2 << 20), 413);
}

TEST(TeiMessage, ReadsTokenizeAndDecode) {
  const auto tokenize = ParseTeiTokenize(R"({"inputs":["a","b"],"add_special_tokens":false})", 3);
  ASSERT_TRUE(std::holds_alternative<TeiTokenize>(tokenize));
  EXPECT_EQ(std::get<TeiTokenize>(tokenize).texts.size(), 2U);
  EXPECT_FALSE(std::get<TeiTokenize>(tokenize).add_special_tokens);
  const auto flat = ParseTeiDecode(R"({"ids":[1,2]})", 3);
  const auto batch = ParseTeiDecode(R"({"ids":[[1],[2,4294967295]]})", 3);
  EXPECT_EQ(std::get<TeiDecode>(flat).ids.size(), 1U);
  EXPECT_EQ(std::get<TeiDecode>(batch).ids[1], std::vector<int32_t>({2, -1}));
}

TEST(TeiMessage, PredictionsAreBestFirst) {
  const LabelScheme scheme{{"ham", "spam"}, FunctionToApply::kSoftmax};
  TeiPredict request;
  request.options.raw_scores = true;
  const std::vector<float> logits = {1, 2};
  EXPECT_EQ(*FormatTeiPredictions(request, logits, scheme),
            R"([{"score":2,"label":"spam"},{"score":1,"label":"ham"}])");
  request.batch = true;
  EXPECT_EQ(*FormatTeiPredictions(request, logits, scheme),
            R"([[{"score":2,"label":"spam"},{"score":1,"label":"ham"}]])");
  const std::vector<float> nan = {std::numeric_limits<float>::quiet_NaN(), 1};
  EXPECT_FALSE(FormatTeiPredictions(request, nan, scheme).ok());
}

TEST(TeiMessage, RanksAreBestFirst) {
  const LabelScheme scheme{{"LABEL_0"}, FunctionToApply::kSigmoid};
  TeiRerank request{.query = "q", .texts = {"a", "b"}, .return_text = true, .options = {}};
  request.options.raw_scores = true;
  EXPECT_EQ(*FormatTeiRanks(request, std::vector<float>{1, 2}, scheme),
            R"([{"index":1,"text":"b","score":2},{"index":0,"text":"a","score":1}])");
  request.return_text = false;
  request.options.raw_scores = false;
  EXPECT_EQ(*FormatTeiRanks(request, std::vector<float>{0, 0}, scheme),
            R"([{"index":0,"score":0.5},{"index":1,"score":0.5}])");
}

TEST(TeiMessage, CountsCharacters) {
  EXPECT_EQ(CountTeiCharacters({"a\xC3\xA9", "\xE2\x82\xAC"}), 3U);
}

}  // namespace
}  // namespace bertie::serve
