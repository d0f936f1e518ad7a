// Logits to the bodies that clients expect.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "serve/invocation.h"

namespace bertie::serve {

// The model's labels and what its scores mean.
struct LabelScheme {
  std::vector<std::string> labels;
  // What Hugging Face applies unless told: nothing for regression, sigmoid for multi-label models
  // and those of one label, else softmax.
  FunctionToApply function = FunctionToApply::kSoftmax;
};

// problem_type is config.json's; labels that are empty become LABEL_0, LABEL_1, ...
LabelScheme MakeLabelScheme(std::vector<std::string> labels, int64_t num_labels,
                            const std::string& problem_type);

// Scores of one sentence; computed in double, rounded to float.
std::vector<float> Scores(std::span<const float> logits, FunctionToApply function);

// The shortest decimal that reads back as the same float; a valid JSON number. value is finite.
void AppendFloat(float value, std::string& out);

// The body of the answer. logits: [texts, labels], row-major, finite (kInternal otherwise).
// JSON, for kScores, in the shapes of transformers' pipeline:
//   no top_k:           "t" -> [{best}]        {"text"} -> {best}       [...] -> [{best}, ...]
//   top_k:              "t" -> [{}, ...]       {"text"} -> [{}, ...]    [...] -> [[{}, ...], ...]
//   return_all_scores:  "t" -> [[{}, ...]]     {"text"} -> [{}, ...]    [...] -> [[{}, ...], ...]
// CSV: rows l0,l1,... for logits; for scores a header label,score and each text's best label.
Result<std::string> FormatAnswer(const Invocation& invocation, std::span<const float> logits,
                                 const LabelScheme& scheme, MediaType type);

}  // namespace bertie::serve
