// What a sentence of each class counts for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace bertie::cli {

// option is --class-weights': "" gives none; "balanced" what scikit-learn calls so, sentences /
// (labels * sentences of the label); anything else is a JSON file, {"label": weight, ...} with
// every label, by the data's names. counts: sentences of each label. Errors name what is missing.
Result<std::vector<float>> MakeClassWeights(const std::string& option,
                                            const std::vector<std::string>& labels,
                                            const std::vector<int64_t>& counts);

// "'ham' 0.625, 'spam' 2.5": for people; "" for none.
std::string DescribeClassWeights(const std::vector<float>& weights,
                                 const std::vector<std::string>& labels);

}  // namespace bertie::cli
