// Messages of the Open Inference Protocol, version 2, as KServe and Triton speak it: what is in
// them, whether they come as JSON, as JSON with binary tensors behind it, or over gRPC.
//
// github.com/kserve/open-inference-protocol; Triton's extensions "binary data" and "classification"
// (github.com/triton-inference-server/server, docs/protocol).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "formats/json.h"
#include "http/message.h"

namespace bertie::serve {

// Row-major, one value for each element of the shape.
struct V2Tensor {
  std::string name;
  std::string datatype;  // "BYTES" holds texts, "INT64" and "INT32" integers, "FP32" floats
  std::vector<int64_t> shape;
  std::variant<std::vector<std::string>, std::vector<int64_t>, std::vector<float>> data;
};

struct V2RequestedOutput {
  std::string name;
  std::optional<bool> binary;  // absent: as V2Request::binary_output
  int64_t classification = 0;  // not 0: the best so many classes instead of the numbers
};

struct V2Request {
  std::string id;
  formats::Json parameters = formats::Json::object();
  std::vector<V2Tensor> inputs;
  std::vector<V2RequestedOutput> outputs;  // none: all
  bool binary_output = false;
};

struct V2Answer {
  std::string model_name;
  std::string model_version;
  std::string id;  // the request's
  std::vector<V2Tensor> outputs;
  std::vector<bool> binary;  // for each output; only JSON's answers ask
};

// A body, with the length of the JSON in front of the tensors where there are some.
struct V2Body {
  std::string bytes;
  std::optional<size_t> json_length;
};

// A tensor without its data: checks that the shape's dimensions are not negative and that their
// product, at most max_elements, is what it holds.
std::optional<http::Refusal> CheckV2Shape(const V2Tensor& tensor, size_t* elements);

// The elements of a tensor that came as bytes: little-endian integers, or texts with a
// little-endian length of four bytes before each. datatype and shape are set; data is what it
// fills.
std::optional<http::Refusal> ReadV2Bytes(std::string_view bytes, V2Tensor& tensor);
// The other way, for any datatype that an answer holds.
std::string WriteV2Bytes(const V2Tensor& tensor);

// json_length: the header Inference-Header-Content-Length; absent: the whole body is JSON. Refused
// with 400 (InvalidJson, InvalidInput); the message names the place, such as inputs[0].shape.
std::variant<V2Request, http::Refusal> ParseV2Request(std::string_view body,
                                                      std::optional<size_t> json_length);

// Floats must be finite.
V2Body FormatV2Answer(const V2Answer& answer);

}  // namespace bertie::serve
