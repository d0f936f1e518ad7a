#include "kserve/convert.h"

#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/quote.h"

namespace bertie::kserve {
namespace {

using formats::Json;
using http::Refusal;
using MaybeRefusal = std::optional<Refusal>;
using serve::V2Tensor;

Refusal Bad(std::string message) { return {400, "InvalidInput", std::move(message)}; }

Json ToJson(const inference::InferParameter& parameter) {
  switch (parameter.parameter_choice_case()) {
    case inference::InferParameter::kBoolParam:
      return parameter.bool_param();
    case inference::InferParameter::kInt64Param:
      return parameter.int64_param();
    case inference::InferParameter::kStringParam:
      return parameter.string_param();
    case inference::InferParameter::kDoubleParam:
      return parameter.double_param();
    case inference::InferParameter::kUint64Param:
      return parameter.uint64_param();
    default:
      return nullptr;
  }
}

template <class Map>
MaybeRefusal RefuseSharedMemory(const Map& parameters, const std::string& tensor) {
  if (parameters.find("shared_memory_region") == parameters.end()) return std::nullopt;
  return Bad(Quote(tensor) + ": shared memory is not supported; send the data in the message");
}

template <class Values, class Repeated>
void CopyTo(const Repeated& values, V2Tensor& out) {
  out.data.emplace<Values>(values.begin(), values.end());
}

MaybeRefusal TakeContents(const inference::InferTensorContents& contents, V2Tensor& out) {
  size_t elements = 0;
  if (auto refusal = serve::CheckV2Shape(out, &elements)) return refusal;
  if (out.datatype == "BYTES") {
    CopyTo<std::vector<std::string>>(contents.bytes_contents(), out);
  } else if (out.datatype == "INT64") {
    CopyTo<std::vector<int64_t>>(contents.int64_contents(), out);
  } else {
    CopyTo<std::vector<int64_t>>(contents.int_contents(), out);
  }
  const size_t found = std::visit([](const auto& values) { return values.size(); }, out.data);
  if (found == elements) return std::nullopt;
  return Bad("input " + Quote(out.name) + " came with " + std::to_string(found) +
             " values in the contents of its datatype; the shape says " + std::to_string(elements));
}

MaybeRefusal TakeOutput(const inference::ModelInferRequest::InferRequestedOutputTensor& output,
                        serve::V2RequestedOutput& out) {
  out.name = output.name();
  if (auto refusal = RefuseSharedMemory(output.parameters(), out.name)) return refusal;
  const auto classes = output.parameters().find("classification");
  if (classes == output.parameters().end()) return std::nullopt;
  out.classification = classes->second.int64_param();
  if (out.classification > 0) return std::nullopt;
  return Bad("the classification of output " + Quote(out.name) + " is no count, at least 1");
}

}  // namespace

std::variant<serve::V2Request, Refusal> FromProto(const inference::ModelInferRequest& message) {
  serve::V2Request request;
  request.id = message.id();
  for (const auto& [name, value] : message.parameters()) request.parameters[name] = ToJson(value);
  const int raw = message.raw_input_contents_size();
  if (raw > 0 && raw != message.inputs_size()) {
    return Bad("raw_input_contents holds " + std::to_string(raw) + " tensors; there are " +
               std::to_string(message.inputs_size()) + " inputs");
  }
  for (int i = 0; i < message.inputs_size(); ++i) {
    const auto& input = message.inputs(i);
    V2Tensor& tensor = request.inputs.emplace_back();
    tensor.name = input.name();
    tensor.datatype = input.datatype();
    tensor.shape.assign(input.shape().begin(), input.shape().end());
    auto refusal = RefuseSharedMemory(input.parameters(), tensor.name);
    if (!refusal) {
      refusal = raw > 0 ? serve::ReadV2Bytes(message.raw_input_contents(i), tensor)
                        : TakeContents(input.contents(), tensor);
    }
    if (refusal) return *std::move(refusal);
  }
  for (const auto& output : message.outputs()) {
    if (auto refusal = TakeOutput(output, request.outputs.emplace_back())) {
      return *std::move(refusal);
    }
  }
  return request;
}

void ToProto(const serve::V2Answer& answer, bool raw, inference::ModelInferResponse& message) {
  message.set_model_name(answer.model_name);
  message.set_model_version(answer.model_version);
  message.set_id(answer.id);
  for (const V2Tensor& tensor : answer.outputs) {
    auto& output = *message.add_outputs();
    output.set_name(tensor.name);
    output.set_datatype(tensor.datatype);
    for (int64_t size : tensor.shape) output.add_shape(size);
    if (raw) {
      message.add_raw_output_contents(serve::WriteV2Bytes(tensor));
    } else if (const auto* texts = std::get_if<std::vector<std::string>>(&tensor.data)) {
      for (const std::string& text : *texts) output.mutable_contents()->add_bytes_contents(text);
    } else if (const auto* floats = std::get_if<std::vector<float>>(&tensor.data)) {
      output.mutable_contents()->mutable_fp32_contents()->Add(floats->begin(), floats->end());
    }
  }
}

grpc::Status ToStatus(const Refusal& refusal) {
  using grpc::StatusCode;
  const std::string_view type = refusal.type;
  const auto code = [&] {
    if (type == "QueueFull" || refusal.status == 413) return StatusCode::RESOURCE_EXHAUSTED;
    if (type == "DeadlineExceeded") return StatusCode::DEADLINE_EXCEEDED;
    if (type == "Cancelled") return StatusCode::CANCELLED;
    switch (refusal.status) {
      case 400:
      case 409:
        return StatusCode::INVALID_ARGUMENT;
      case 401:
        return StatusCode::UNAUTHENTICATED;
      case 403:
        return StatusCode::PERMISSION_DENIED;
      case 404:
        return StatusCode::NOT_FOUND;
      case 501:
        return StatusCode::UNIMPLEMENTED;
      case 503:
        return StatusCode::UNAVAILABLE;
      case 429:
      case 507:
        return StatusCode::RESOURCE_EXHAUSTED;
      default:
        return StatusCode::INTERNAL;
    }
  }();
  if (refusal.status == 401 && refusal.message.empty()) {
    return {code, "a key is needed, as metadata: authorization: Bearer KEY"};
  }
  return {code, refusal.message};
}

std::string_view StatusName(grpc::StatusCode code) {
  // By their numbers.
  static constexpr std::string_view kNames[] = {
      "OK",
      "CANCELLED",
      "UNKNOWN",
      "INVALID_ARGUMENT",
      "DEADLINE_EXCEEDED",
      "NOT_FOUND",
      "ALREADY_EXISTS",
      "PERMISSION_DENIED",
      "RESOURCE_EXHAUSTED",
      "FAILED_PRECONDITION",
      "ABORTED",
      "OUT_OF_RANGE",
      "UNIMPLEMENTED",
      "INTERNAL",
      "UNAVAILABLE",
      "DATA_LOSS",
      "UNAUTHENTICATED",
  };
  return code >= 0 && static_cast<size_t>(code) < std::size(kNames) ? kNames[code] : "UNKNOWN";
}

}  // namespace bertie::kserve
