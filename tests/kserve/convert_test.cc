#include "kserve/convert.h"

#include <gtest/gtest.h>

namespace bertie::kserve {
namespace {

using inference::ModelInferRequest;
using serve::V2Request;
using Texts = std::vector<std::string>;
using Integers = std::vector<int64_t>;

ModelInferRequest::InferInputTensor* AddInput(ModelInferRequest& message, const char* name,
                                              const char* datatype, Integers shape) {
  auto* input = message.add_inputs();
  input->set_name(name);
  input->set_datatype(datatype);
  for (const int64_t size : shape) input->add_shape(size);
  return input;
}

V2Request Read(const ModelInferRequest& message) {
  auto read = FromProto(message);
  if (const auto* refusal = std::get_if<http::Refusal>(&read)) {
    ADD_FAILURE() << refusal->message;
    return {};
  }
  return std::get<V2Request>(std::move(read));
}

std::string Refused(const ModelInferRequest& message) {
  const auto read = FromProto(message);
  const auto* refusal = std::get_if<http::Refusal>(&read);
  return refusal ? refusal->message : "";
}

TEST(FromProto, ReadsContentsOfEachDatatype) {
  ModelInferRequest message;
  message.set_id("7");
  AddInput(message, "text", "BYTES", {1})->mutable_contents()->add_bytes_contents("a");
  AddInput(message, "wide", "INT64", {1, 1})->mutable_contents()->add_int64_contents(1LL << 40);
  AddInput(message, "narrow", "INT32", {1})->mutable_contents()->add_int_contents(-3);
  (*message.mutable_parameters())["top_k"].set_int64_param(2);
  (*message.mutable_parameters())["truncation"].set_bool_param(false);
  const V2Request request = Read(message);
  EXPECT_EQ(request.id, "7");
  ASSERT_EQ(request.inputs.size(), 3U);
  EXPECT_EQ(std::get<Texts>(request.inputs[0].data), Texts({"a"}));
  EXPECT_EQ(std::get<Integers>(request.inputs[1].data), Integers({1LL << 40}));
  EXPECT_EQ(std::get<Integers>(request.inputs[2].data), Integers({-3}));
  EXPECT_EQ(request.parameters, formats::Json({{"top_k", 2}, {"truncation", false}}));
}

TEST(FromProto, ReadsRawContentsInTheOrderOfTheInputs) {
  ModelInferRequest message;
  AddInput(message, "text", "BYTES", {1});
  AddInput(message, "ids", "INT32", {2});
  message.add_raw_input_contents(std::string("\2\0\0\0ab", 6));
  message.add_raw_input_contents(std::string("\1\0\0\0\2\0\0\0", 8));
  const V2Request request = Read(message);
  EXPECT_EQ(std::get<Texts>(request.inputs[0].data), Texts({"ab"}));
  EXPECT_EQ(std::get<Integers>(request.inputs[1].data), Integers({1, 2}));
  message.mutable_raw_input_contents()->RemoveLast();
  EXPECT_EQ(Refused(message), "raw_input_contents holds 1 tensors; there are 2 inputs");
}

TEST(FromProto, RefusesWhatDoesNotFillTheShape) {
  ModelInferRequest message;
  auto* input = AddInput(message, "text", "BYTES", {2});
  input->mutable_contents()->add_bytes_contents("a");
  EXPECT_EQ(Refused(message),
            "input 'text' came with 1 values in the contents of its datatype; the shape says 2");
  input->set_shape(0, -1);
  EXPECT_EQ(Refused(message), "input 'text' has the dimension -1; expected at least 0");
  input->set_datatype("FP32");
  EXPECT_EQ(Refused(message),
            "input 'text' has the datatype 'FP32'; expected BYTES, INT64 or INT32");
  (*input->mutable_parameters())["shared_memory_region"].set_string_param("r");
  EXPECT_NE(Refused(message).find("shared memory is not supported"), std::string::npos);
}

TEST(FromProto, OutputsMayAskForClasses) {
  ModelInferRequest message;
  auto* output = message.add_outputs();
  output->set_name("logits");
  (*output->mutable_parameters())["classification"].set_int64_param(2);
  EXPECT_EQ(Read(message).outputs.at(0).classification, 2);
  (*output->mutable_parameters())["classification"].set_string_param("2");
  EXPECT_EQ(Refused(message), "the classification of output 'logits' is no count, at least 1");
}

TEST(ToProto, AnswersAsTheRequestCame) {
  serve::V2Answer answer{"m", "1", "7", {}, {}};
  answer.outputs.push_back({"logits", "FP32", {1, 2}, std::vector<float>{1, 2}});
  answer.outputs.push_back({"label", "BYTES", {1}, Texts{"spam"}});
  inference::ModelInferResponse typed;
  ToProto(answer, false, typed);
  EXPECT_EQ(typed.id(), "7");
  EXPECT_EQ(typed.outputs(0).contents().fp32_contents_size(), 2);
  EXPECT_EQ(typed.outputs(1).contents().bytes_contents(0), "spam");
  EXPECT_EQ(typed.raw_output_contents_size(), 0);
  inference::ModelInferResponse raw;
  ToProto(answer, true, raw);
  EXPECT_FALSE(raw.outputs(0).has_contents());
  EXPECT_EQ(raw.raw_output_contents(1), std::string("\4\0\0\0spam", 8));
}

TEST(ToStatus, TellsApartWhatClientsMustDo) {
  const auto code = [](int status, const char* type) {
    return ToStatus(http::Refusal{status, type, "m"}).error_code();
  };
  EXPECT_EQ(code(400, "InvalidInput"), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code(404, "ModelNotFound"), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code(413, "TooManyTexts"), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(code(503, "QueueFull"), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(code(503, "DeadlineExceeded"), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(code(503, "Loading"), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(code(500, "InferenceFailed"), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(code(429, "TooManyWatch"), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(StatusName, IsGrpcsOwn) {
  EXPECT_EQ(StatusName(grpc::StatusCode::OK), "OK");
  EXPECT_EQ(StatusName(grpc::StatusCode::NOT_FOUND), "NOT_FOUND");
  EXPECT_EQ(StatusName(grpc::StatusCode::UNAUTHENTICATED), "UNAUTHENTICATED");
  EXPECT_EQ(StatusName(static_cast<grpc::StatusCode>(17)), "UNKNOWN");
  EXPECT_EQ(StatusName(static_cast<grpc::StatusCode>(-1)), "UNKNOWN");
}

}  // namespace
}  // namespace bertie::kserve
