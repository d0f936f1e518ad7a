#include "train/divergence.h"

#include <algorithm>
#include <cmath>
#include <ranges>
#include <string>

namespace bertie::train {
namespace {

bool AllFinite(const float* values, int64_t count) {
  return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

// "; the gradient of 'x' is not finite" or "".
std::string Culprit(const model::ParameterStore& parameters) {
  for (const auto& slot : parameters.slots()) {
    if (!AllFinite(parameters.values() + slot.offset, slot.count)) {
      return "; the weights of '" + slot.name + "' are not finite before the step";
    }
  }
  for (const auto& slot : std::views::reverse(parameters.slots())) {
    if (!AllFinite(parameters.gradients() + slot.offset, slot.count)) {
      return "; the gradient of '" + slot.name + "' is not finite";
    }
  }
  return "";
}

}  // namespace

Error DivergenceError(int64_t step, double loss, double gradient_norm,
                      const model::ParameterStore& parameters) {
  return {ErrorCode::kInvalidData, "step " + std::to_string(step) + ": the loss is " +
                                       std::to_string(loss) + " and the gradients' norm " +
                                       std::to_string(gradient_norm) + Culprit(parameters) +
                                       "; training has diverged: try a smaller --lr"};
}

}  // namespace bertie::train
