// What a sentence of each label counts for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/dataset.h"

namespace bertie::cli {

// option is --class-weights': "" gives none; "balanced" what scikit-learn calls so, sentences /
// (labels * sentences of the label), or where a sentence may have several labels the sentences
// without the label / those with it; anything else is a JSON file, {"label": weight, ...} with
// every label, by the data's names. Errors name what is missing; there are none in a regression.
Result<std::vector<float>> MakeClassWeights(const std::string& option, const data::Dataset& train);

// "'ham' 0.625, 'spam' 2.5": for people; "" for none.
std::string DescribeClassWeights(const std::vector<float>& weights,
                                 const std::vector<std::string>& labels);

}  // namespace bertie::cli
