// A seeded division of labelled sentences into training and test parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"

namespace bertie::data {

struct SplitOptions {
  double test_fraction = 0.25;  // above 0, below 1
  uint64_t seed = 1;
  // Keeps each stratum's share the same in both parts, as near as whole sentences allow.
  bool stratify = false;
};

// Indices into the sentences, in shuffled order.
struct Split {
  std::vector<size_t> train;
  std::vector<size_t> test;
};

// Divides strata.size() sentences; the test part is rounded up, as scikit-learn does. strata: each
// sentence's label, or another number from 0 (data/strata.h). Their number alone (with stratify:
// they themselves) and the options decide the split, the same on every machine.
// kInvalidArgument when the fraction is out of range or a part would be empty.
Result<Split> SplitIndices(std::span<const int> strata, const SplitOptions& options);

}  // namespace bertie::data
