// What a classifier's labels are.
#pragma once

#include <optional>
#include <string_view>

namespace bertie {

// transformers' problem_type.
enum class ProblemType {
  kSingleLabel,  // each sentence has one of the labels
  kMultiLabel,   // each sentence has any number of them, none among others
  kRegression,   // each sentence has a number
};

// As config.json has it: "single_label_classification", "multi_label_classification", "regression".
const char* ProblemTypeName(ProblemType problem);
std::optional<ProblemType> ParseProblemType(std::string_view name);

}  // namespace bertie
