// Messages of the Open Inference Protocol: the first two bytes say how long the JSON is, in front
// of binary tensors; both 0xff: all is JSON. What is read is planned too, and never exceeds its
// shapes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "serve/v2/v2_inference.h"
#include "serve/v2/v2_message.h"

using bertie::serve::V2Tensor;

namespace {

// A tensor holds as many values as its shape says.
void CheckTensor(const V2Tensor& tensor) {
  size_t elements = 0;
  if (bertie::serve::CheckV2Shape(tensor, &elements)) std::abort();
  const size_t found = std::visit([](const auto& values) { return values.size(); }, tensor.data);
  if (found != elements) std::abort();
  V2Tensor again = tensor;
  if (tensor.datatype == "INT32") again.datatype = "INT64";
  if (bertie::serve::ReadV2Bytes(bertie::serve::WriteV2Bytes(tensor), again)) std::abort();
  if (again.data != tensor.data) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t length = data[0] | static_cast<size_t>(data[1]) << 8;
  const std::string_view body(reinterpret_cast<const char*>(data) + 2, size - 2);
  const bool whole = length == 0xffff;
  auto parsed =
      bertie::serve::ParseV2Request(body, whole ? std::nullopt : std::optional<size_t>(length));
  auto* request = std::get_if<bertie::serve::V2Request>(&parsed);
  if (!request) return 0;
  for (const V2Tensor& tensor : request->inputs) CheckTensor(tensor);
  (void)bertie::serve::PlanV2(std::move(*request), {.max_texts = 16, .max_length = 64}, {}, 3);
  return 0;
}
