#include "serve/tei/vertex_message.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace bertie::serve {
namespace {

const LabelScheme kTwoLabels{{"ham", "spam"}, FunctionToApply::kSoftmax};

http::Refusal VertexRefusal(std::string_view body) {
  const auto parsed = ParseVertexRequest(body, 3);
  const auto* refusal = std::get_if<http::Refusal>(&parsed);
  return refusal ? *refusal : http::Refusal{200, "", ""};
}

VertexRequest Read(std::string_view body, size_t max_texts = 4) {
  auto parsed = ParseVertexRequest(body, max_texts);
  const auto* refusal = std::get_if<http::Refusal>(&parsed);
  EXPECT_EQ(refusal, nullptr) << refusal->message;
  return refusal ? VertexRequest{} : std::get<VertexRequest>(std::move(parsed));
}

TEST(VertexMessage, InstancesAreTextsAndTeisBodies) {
  const VertexRequest request = Read(
      R"({"instances":["a",{"inputs":["b","c"]},{"inputs":[["d"],["e","f"]]}],"parameters":null})");
  ASSERT_EQ(request.texts.size(), 4U);
  EXPECT_EQ(request.texts[0].text, "a");
  EXPECT_EQ(request.texts[1].pair, "c");
  EXPECT_EQ(request.texts[3].pair, "f");
  ASSERT_EQ(request.instances.size(), 3U);
  EXPECT_EQ(request.instances[2].texts, 2U);
  EXPECT_FALSE(AsksForRanks(request));
  EXPECT_EQ(VertexInstanceOfText(request, 0), "instances[0]: ");
  EXPECT_EQ(VertexInstanceOfText(request, 3), "instances[2]: ");
}

TEST(VertexMessage, ParametersAreTheOptionsOfInstancesThatHaveNone) {
  const VertexRequest request = Read(
      R"({"instances":["a",{"inputs":"b","raw_scores":false,"truncation_direction":"Right"}],)"
      R"("parameters":{"truncate":false,"truncation_direction":"Left","raw_scores":true,"x":1}})");
  ASSERT_EQ(request.instances.size(), 2U);
  const TeiOptions& first = std::get<TeiPredict>(request.instances[0].body).options;
  EXPECT_EQ(first.truncate, false);
  EXPECT_EQ(first.side, TruncationSide::kLeft);
  EXPECT_TRUE(first.raw_scores);
  const TeiOptions& second = std::get<TeiPredict>(request.instances[1].body).options;
  EXPECT_EQ(second.truncate, false);
  EXPECT_EQ(second.side, TruncationSide::kRight);
  EXPECT_FALSE(second.raw_scores);
}

TEST(VertexMessage, BadBodiesAreRefusedAsTeiDoes) {
  for (const char* body :
       {R"({})", R"([])", R"({"instances":"a"})", R"({"instances":["a"],"parameters":[]})",
        R"({"instances":["a"],"parameters":{"raw_scores":1}})"}) {
    EXPECT_EQ(VertexRefusal(body).status, 422) << body;
    EXPECT_STREQ(VertexRefusal(body).type, "PlainText") << body;
  }
  EXPECT_EQ(VertexRefusal("{").status, 400);
  EXPECT_STREQ(VertexRefusal(R"({"instances":[]})").type, "Empty");
}

TEST(VertexMessage, ABadInstanceIsNamed) {
  const auto expect = [](const char* body, int status, const char* message) {
    const http::Refusal refusal = VertexRefusal(body);
    EXPECT_EQ(refusal.status, status) << body;
    EXPECT_STREQ(refusal.type, status == 413 ? "Validation" : "InvalidInput") << body;
    EXPECT_EQ(refusal.message, message);
  };
  expect(R"({"instances":["a",{}]})", 422, "instances[1]: missing field `inputs`");
  expect(R"({"instances":["a",3]})", 422,
         "instances[1]: the instance: an integer; expected a string or an object with \"inputs\"");
  expect(R"({"instances":[""]})", 413, "instances[0]: `inputs` cannot be empty");
  EXPECT_STREQ(VertexRefusal(R"({"instances":[{"query":"q","texts":[]}]})").type, "Empty");
}

TEST(VertexMessage, TheLimitIsOfAllInstances) {
  const std::string too_many = " > maximum allowed batch size 3";
  EXPECT_EQ(VertexRefusal(R"({"instances":["a","b","c","d"]})").message, "batch size 4" + too_many);
  EXPECT_EQ(VertexRefusal(R"({"instances":["a",{"inputs":[["b"],["c"],["d"]]}]})").message,
            "instances[1]: batch size 4" + too_many);
  EXPECT_EQ(VertexRefusal(R"({"instances":["a",{"query":"q","texts":["b","c","d"]}]})").message,
            "instances[1]: batch size 4" + too_many);
  EXPECT_EQ(Read(R"({"instances":["a",{"inputs":[["b"],["c"]]}]})", 3).texts.size(), 3U);
}

TEST(VertexMessage, QueriesOfAllInstancesCountTogether) {
  const std::string instance = R"({"query":")" + std::string(3 << 20, 'q') + R"(","texts":["a"]})";
  EXPECT_EQ(Read(R"({"instances":[)" + instance + "]}").texts.size(), 1U);
  const http::Refusal refusal =
      VertexRefusal(R"({"instances":[)" + instance + "," + instance + "]}");
  EXPECT_EQ(refusal.status, 413);
  EXPECT_TRUE(refusal.message.starts_with("instances[1]: query: ")) << refusal.message;
}

TEST(VertexMessage, EachInstanceHasAPredictionOfItsOwnForm) {
  const VertexRequest request =
      Read(R"({"instances":["a",{"inputs":[["b"]]}],"parameters":{"raw_scores":true}})");
  EXPECT_EQ(*FormatVertexPredictions(request, std::vector<float>{1, 2, 4, 3}, kTwoLabels),
            R"({"predictions":[[{"score":2,"label":"spam"},{"score":1,"label":"ham"}],)"
            R"([[{"score":4,"label":"ham"},{"score":3,"label":"spam"}]]]})");
  const std::vector<float> bad = {1, 2, std::numeric_limits<float>::quiet_NaN(), 3};
  EXPECT_FALSE(FormatVertexPredictions(request, bad, kTwoLabels).ok());
}

TEST(VertexMessage, InstancesOfRerankGiveRanks) {
  const VertexRequest request =
      Read(R"({"instances":[{"query":"q","texts":["a","b"],"raw_scores":true},"c"]})");
  EXPECT_TRUE(AsksForRanks(request));
  ASSERT_EQ(request.texts.size(), 3U);
  EXPECT_EQ(request.texts[1].text, "q");
  EXPECT_EQ(request.texts[1].pair, "b");
  const LabelScheme one{{"LABEL_0"}, FunctionToApply::kSigmoid};
  EXPECT_EQ(*FormatVertexPredictions(request, std::vector<float>{1, 2, 0}, one),
            R"({"predictions":[[{"index":1,"score":2},{"index":0,"score":1}],)"
            R"([{"score":0.5,"label":"LABEL_0"}]]})");
}

}  // namespace
}  // namespace bertie::serve
