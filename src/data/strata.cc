#include "data/strata.h"

#include <algorithm>
#include <numeric>

namespace bertie::data {
namespace {

constexpr size_t kQuantiles = 10;

std::vector<int> ByNumber(const std::vector<Example>& examples) {
  std::vector<size_t> order(examples.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return examples[a].number < examples[b].number; });
  std::vector<int> strata(examples.size());
  int stratum = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const bool same = i > 0 && examples[order[i]].number == examples[order[i - 1]].number;
    if (!same) stratum = static_cast<int>(i * kQuantiles / order.size());
    strata[order[i]] = stratum;
  }
  return strata;
}

}  // namespace

std::vector<int> MakeStrata(const Dataset& dataset) {
  if (dataset.problem() == ProblemType::kRegression) return ByNumber(dataset.examples);
  std::vector<int> strata;
  strata.reserve(dataset.examples.size());
  const auto rarer = [&](int a, int b) {
    return dataset.label_counts[static_cast<size_t>(a)] <
           dataset.label_counts[static_cast<size_t>(b)];
  };
  for (const Example& example : dataset.examples) {
    if (dataset.problem() == ProblemType::kSingleLabel) {
      strata.push_back(example.label);
    } else if (example.labels.empty()) {
      strata.push_back(static_cast<int>(dataset.labels.size()));
    } else {
      strata.push_back(*std::min_element(example.labels.begin(), example.labels.end(), rarer));
    }
  }
  return strata;
}

}  // namespace bertie::data
