// Bodies of POST /invocations: what clients may send.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "formats/json.h"
#include "http/message.h"
#include "serve/text_input.h"

namespace bertie::serve {

// The forms a body may have, each with the answer that belongs to it:
//
//   "text" | ["text", ...]             raw logits [[l0, l1, ...], ...]
//   {"inputs": ..., "parameters": {}}  labels and scores, as Hugging Face's text-classification
//                                      pipeline shapes them
//   {"instances": ["text", ...]}       {"predictions": [[l0, l1, ...], ...]}
//   csv, one text a row                raw logits; with a header that names a column "inputs",
//                                      labels and scores
enum class AnswerForm { kLogits, kScores, kPredictions };

enum class FunctionToApply { kNone, kSigmoid, kSoftmax };

// "parameters", after transformers' TextClassificationPipeline.
struct Parameters {
  // Given or not decides the shape of the answer. nullopt inside: all labels (JSON null).
  bool has_top_k = false;
  std::optional<int64_t> top_k;
  std::optional<bool> return_all_scores;  // older name: all labels, in label order
  std::optional<FunctionToApply> function_to_apply;
  std::optional<bool> truncation;
  std::optional<size_t> max_length;
};

struct Invocation {
  // How the texts stood in the request; shapes the answer to {"inputs": ...}.
  enum class Container { kText, kObject, kList };

  std::vector<TextInput> texts = {};  // at least one
  Container container = Container::kList;
  AnswerForm form = AnswerForm::kLogits;
  Parameters parameters;
};

struct InvocationLimits {
  size_t max_texts = 1024;
  size_t max_length = 512;  // for parameters.max_length
};

// An object of "parameters"; null is none. Refused with 400 InvalidInput.
std::optional<http::Refusal> ReadParameters(const formats::Json& object,
                                            const InvocationLimits& limits, Parameters& out);

enum class MediaType { kJson, kCsv };

// Refused with 400 (InvalidJson, InvalidCsv, InvalidInput, EmptyBatch) or 413 (TooManyTexts);
// messages name what was found, what was expected, and where: line and column, row, or the path
// of the value, such as inputs[3].
std::variant<Invocation, http::Refusal> ParseInvocation(std::string_view body, MediaType type,
                                                        const InvocationLimits& limits);

}  // namespace bertie::serve
