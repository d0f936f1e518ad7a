// What a loss or a gradient that is not finite can be told from.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "model/parameter_store.h"

namespace bertie::train {

// kInvalidData. Names the step and a tensor: the first one whose values are not finite already, or
// else the first in the order of the backward pass (from the classifier down) whose gradient is
// not: NaN spreads downwards from there.
Error DivergenceError(int64_t step, double loss, double gradient_norm,
                      const model::ParameterStore& parameters);

}  // namespace bertie::train
