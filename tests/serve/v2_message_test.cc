#include "serve/v2/v2_message.h"

#include <gtest/gtest.h>

#include <cstring>

namespace bertie::serve {
namespace {

using Texts = std::vector<std::string>;
using Integers = std::vector<int64_t>;

V2Request Parse(std::string_view body, std::optional<size_t> json_length = std::nullopt) {
  auto parsed = ParseV2Request(body, json_length);
  if (const auto* refusal = std::get_if<http::Refusal>(&parsed)) {
    ADD_FAILURE() << refusal->message;
    return {};
  }
  return std::get<V2Request>(std::move(parsed));
}

std::string Refused(std::string_view body, std::optional<size_t> json_length = std::nullopt) {
  auto parsed = ParseV2Request(body, json_length);
  const auto* refusal = std::get_if<http::Refusal>(&parsed);
  if (!refusal) return "";
  EXPECT_EQ(refusal->status, 400);
  return refusal->message;
}

TEST(V2Message, ReadsTextsAsJson) {
  const V2Request request =
      Parse(R"({"id":"7","parameters":{"top_k":2},"inputs":[{"name":"text","shape":[2],)"
            R"("datatype":"BYTES","data":["a","b"]}],"outputs":[{"name":"label"}]})");
  EXPECT_EQ(request.id, "7");
  EXPECT_EQ(request.parameters["top_k"], 2);
  ASSERT_EQ(request.inputs.size(), 1U);
  EXPECT_EQ(request.inputs[0].shape, Integers({2}));
  EXPECT_EQ(std::get<Texts>(request.inputs[0].data), Texts({"a", "b"}));
  ASSERT_EQ(request.outputs.size(), 1U);
  EXPECT_FALSE(request.outputs[0].binary.has_value());
  EXPECT_FALSE(request.binary_output);
}

TEST(V2Message, NestedDataMeansTheSameAsFlat) {
  for (const char* data : {"[1,2,3,4,5,6]", "[[1,2,3],[4,5,6]]"}) {
    const V2Request request =
        Parse(std::string(R"({"inputs":[{"name":"i","shape":[2,3],"datatype":"INT64","data":)") +
              data + "}]}");
    EXPECT_EQ(std::get<Integers>(request.inputs.at(0).data), Integers({1, 2, 3, 4, 5, 6})) << data;
  }
}

TEST(V2Message, DataMustFillTheShape) {
  const auto refused = [](const char* shape, const char* data) {
    return Refused(std::string(R"({"inputs":[{"name":"i","datatype":"INT64","shape":)") + shape +
                   R"(,"data":)" + data + "}]}");
  };
  EXPECT_EQ(refused("[2,2]", "[1,2,3]"), "inputs[0].data holds 3 values; the shape says 4");
  EXPECT_EQ(refused("[2,2]", "[[1,2],[3]]"),
            "inputs[0].data has a list of 1 where the shape says 2");
  EXPECT_EQ(refused("[2,2]", "[[1,2],3]"),
            "a value of inputs[0].data is an integer; expected a list");
  EXPECT_EQ(refused("[1]", "[1.5]"), "a value of inputs[0].data is a number; expected an integer");
  EXPECT_EQ(refused("[-1]", "[1]"), "inputs[0].shape[0] is -1; expected at least 0");
  EXPECT_EQ(refused("[]", "[1]"), "inputs[0].shape has 0 dimensions; expected 1 to 8");
  EXPECT_NE(refused("[1048576,1048576]", "[1]").find("elements"), std::string::npos);
}

std::string Framed(std::initializer_list<std::string> texts) {
  std::string bytes;
  for (const std::string& text : texts) {
    const auto size = static_cast<uint32_t>(text.size());
    bytes.append(reinterpret_cast<const char*>(&size), 4).append(text);
  }
  return bytes;
}

TEST(V2Message, ReadsBinaryTensorsInTheirOrder) {
  const std::string texts = Framed({"the sea", ""});
  const int64_t ids[] = {3, -1};
  const std::string json =
      R"({"inputs":[{"name":"text","shape":[2],"datatype":"BYTES","parameters":)"
      R"({"binary_data_size":)" +
      std::to_string(texts.size()) +
      R"(}},{"name":"i","shape":[1,2],"datatype":"INT64","parameters":{"binary_data_size":16}}],)"
      R"("outputs":[{"name":"logits","parameters":{"binary_data":true,"classification":3}}],)"
      R"("parameters":{"binary_data_output":true}})";
  std::string body = json + texts;
  body.append(reinterpret_cast<const char*>(ids), sizeof(ids));
  const V2Request request = Parse(body, json.size());
  ASSERT_EQ(request.inputs.size(), 2U);
  EXPECT_EQ(std::get<Texts>(request.inputs[0].data), Texts({"the sea", ""}));
  EXPECT_EQ(std::get<Integers>(request.inputs[1].data), Integers({3, -1}));
  EXPECT_EQ(request.outputs.at(0).binary, true);
  EXPECT_EQ(request.outputs.at(0).classification, 3);
  EXPECT_TRUE(request.binary_output);

  EXPECT_EQ(Refused(body, body.size() + 1),
            "Inference-Header-Content-Length is " + std::to_string(body.size() + 1) +
                "; the body has " + std::to_string(body.size()) + " bytes");
  EXPECT_EQ(Refused(body.substr(0, body.size() - 1), json.size()),
            "inputs[1].parameters.binary_data_size is 16; 15 bytes of the body are left for it");
  EXPECT_NE(Refused(body + "x", json.size()).find("1 bytes follow"), std::string::npos);
}

TEST(V2Message, BytesMustBeFramed) {
  V2Tensor tensor{"text", "BYTES", {2}, {}};
  const auto message = [&](const std::string& bytes) {
    const auto refusal = ReadV2Bytes(bytes, tensor);
    return refusal ? refusal->message : "";
  };
  EXPECT_EQ(message(Framed({"a", "b"})), "");
  EXPECT_EQ(message(Framed({"a"})), "input 'text' came with 1 texts; the shape says 2");
  EXPECT_EQ(message(Framed({"a"}) + "xy"),
            "input 'text': 2 bytes are left for the length of text 1; expected 4");
  EXPECT_EQ(message(std::string("\x05\0\0\0abc", 7)),
            "input 'text': text 0 has 5 bytes by its length; 3 are left");
  tensor.datatype = "FP32";
  EXPECT_EQ(message(""), "input 'text' has the datatype 'FP32'; expected BYTES, INT64 or INT32");
  tensor.datatype = "INT32";
  EXPECT_EQ(message("1234"), "input 'text' came with 4 bytes; the shape needs 8");
}

TEST(V2Message, SharedMemoryIsRefused) {
  const std::string message =
      Refused(R"({"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","parameters":)"
              R"({"shared_memory_region":"r","shared_memory_byte_size":8}}]})");
  EXPECT_NE(message.find("shared memory is not supported"), std::string::npos);
}

TEST(V2Message, WritesJsonAndBinaryOutputs) {
  V2Answer answer{"m", "1", "7", {}, {false, true, true}};
  answer.outputs.push_back({"logits", "FP32", {1, 2}, std::vector<float>{0.5F, -2}});
  answer.outputs.push_back({"probabilities", "FP32", {1, 1}, std::vector<float>{1}});
  answer.outputs.push_back({"label", "BYTES", {1}, Texts{"a\"b"}});
  const V2Body body = FormatV2Answer(answer);
  const std::string json =
      R"({"model_name":"m","model_version":"1","id":"7","outputs":[)"
      R"({"name":"logits","datatype":"FP32","shape":[1,2],"data":[0.5,-2]},)"
      R"({"name":"probabilities","datatype":"FP32","shape":[1,1],"parameters":)"
      R"({"binary_data_size":4}},)"
      R"({"name":"label","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":7}}]})";
  EXPECT_EQ(body.json_length, json.size());
  EXPECT_EQ(body.bytes, json + std::string("\0\0\x80\x3f\x03\0\0\0a\"b", 11));

  answer.binary.clear();
  const V2Body plain = FormatV2Answer(answer);
  EXPECT_FALSE(plain.json_length);
  EXPECT_NE(plain.bytes.find(R"("data":["a\"b"])"), std::string::npos) << plain.bytes;
}

}  // namespace
}  // namespace bertie::serve
