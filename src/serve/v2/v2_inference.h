// What a model's tensors are called in the Open Inference Protocol, and what they mean.
//
//   inputs   text             BYTES [-1], or [-1,1]   texts
//            text_pair        BYTES, as text          optional: the second text of each pair
//   or       input_ids        INT64 or INT32 [-1,-1]  token ids
//            attention_mask   as input_ids            optional: 1, and 0 for padding at the end
//            token_type_ids   as input_ids            optional: 0 and 1
//   outputs  logits           FP32 [-1,labels]
//            probabilities    FP32 [-1,labels]        what the scores mean for the model (answer.h)
//            label            BYTES [-1]              the best
//
// parameters: truncation, max_length, function_to_apply, as those of {"inputs": ...}
// (invocation.h); top_k, with which label and probabilities are [-1,k], best first; timeout,
// microseconds. Others are left alone, as the protocol wants it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "http/message.h"
#include "serve/answer.h"
#include "serve/inference.h"
#include "serve/v2/v2_message.h"

namespace bertie::serve {

struct V2TensorType {
  std::string_view name;
  std::string_view datatype;
  std::vector<int64_t> shape;  // -1: any size
  bool optional = false;
};

// As model metadata tells of them: [{"name", "datatype", "shape"}, ...].
formats::Json V2TypesJson(const std::vector<V2TensorType>& types);

std::vector<V2TensorType> V2Inputs();
std::vector<V2TensorType> V2Outputs(int64_t labels);

// What is left of a request while it is computed.
struct V2Plan {
  std::string id;
  std::vector<V2RequestedOutput> outputs;  // at least one
  bool binary_output = false;
  Parameters parameters;
  std::optional<std::chrono::microseconds> timeout;
};

struct V2Work {
  V2Plan plan;
  InferenceRequest inference;  // texts or encodings, and the truncation
};

// limits: of the model. long_texts: what is done to them where the request does not say.
// Refused with 400 or 413; the message names the tensor, what was found and what was expected.
std::variant<V2Work, http::Refusal> PlanV2(V2Request request, const InvocationLimits& limits,
                                           const LongTextOptions& long_texts, size_t labels);

// logits: [texts, labels], row-major. kInternal where one is not finite.
Result<V2Answer> AnswerV2(const V2Plan& plan, std::span<const float> logits,
                          const LabelScheme& scheme);

// Where the text at fault stands in the request, "text[3]" or "input_ids[3]".
std::string V2TextName(bool texts, size_t index);

}  // namespace bertie::serve
