// What a model's answers are.
#pragma once

#include "base/problem_type.h"
#include "model/config.h"

namespace bertie::model {

// By problem_type; where that is unset as transformers has it: one label is a regression.
ProblemType ProblemOf(const Config& config);

}  // namespace bertie::model
