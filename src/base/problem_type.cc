#include "base/problem_type.h"

#include <iterator>

namespace bertie {
namespace {

constexpr const char* kProblemNames[] = {"single_label_classification",
                                         "multi_label_classification", "regression"};

}  // namespace

const char* ProblemTypeName(ProblemType problem) {
  return kProblemNames[static_cast<size_t>(problem)];
}

std::optional<ProblemType> ParseProblemType(std::string_view name) {
  for (size_t i = 0; i < std::size(kProblemNames); ++i) {
    if (name == kProblemNames[i]) return static_cast<ProblemType>(i);
  }
  return std::nullopt;
}

}  // namespace bertie
