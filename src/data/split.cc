#include "data/split.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "data/random.h"

namespace bertie::data {
namespace {

struct Quota {
  size_t test = 0;
  double remainder = 0;
};

// How many sentences of each stratum go to the test part: each one's exact share rounded down, and
// the sentences still missing from `wanted` to the strata with the largest remainders.
std::vector<Quota> StratifiedQuotas(const std::vector<size_t>& counts, size_t wanted,
                                    size_t total) {
  std::vector<Quota> quotas(counts.size());
  size_t given = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double share =
        static_cast<double>(counts[i]) * static_cast<double>(wanted) / static_cast<double>(total);
    quotas[i].test = static_cast<size_t>(share);
    quotas[i].remainder = share - std::floor(share);
    given += quotas[i].test;
  }
  std::vector<size_t> order(counts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return quotas[a].remainder > quotas[b].remainder; });
  for (size_t i = 0; given < wanted; i = (i + 1) % order.size()) {
    if (quotas[order[i]].test == counts[order[i]]) continue;
    ++quotas[order[i]].test;
    ++given;
  }
  return quotas;
}

}  // namespace

Result<Split> SplitIndices(std::span<const int> strata, const SplitOptions& options) {
  if (!(options.test_fraction > 0 && options.test_fraction < 1)) {
    std::ostringstream message;
    message << "test fraction is " << options.test_fraction << "; expected above 0 and below 1";
    return Error{ErrorCode::kInvalidArgument, message.str()};
  }
  const size_t total = strata.size();
  const size_t wanted =
      static_cast<size_t>(std::ceil(static_cast<double>(total) * options.test_fraction - 1e-9));
  if (wanted == 0 || wanted >= total) {
    std::ostringstream message;
    message << "a test fraction of " << options.test_fraction << " splits " << total
            << " sentences into " << total - std::min(total, wanted) << " and "
            << std::min(total, wanted) << "; expected at least one on each side";
    return Error{ErrorCode::kInvalidArgument, message.str()};
  }

  std::vector<size_t> order(total);
  std::iota(order.begin(), order.end(), size_t{0});
  Random random(options.seed);
  Shuffle(std::span(order), random);

  Split split;
  split.train.reserve(total - wanted);
  split.test.reserve(wanted);
  if (!options.stratify) {
    split.test.assign(order.begin(), order.begin() + static_cast<ptrdiff_t>(wanted));
    split.train.assign(order.begin() + static_cast<ptrdiff_t>(wanted), order.end());
    return split;
  }
  const int largest = *std::max_element(strata.begin(), strata.end());
  std::vector<size_t> counts(static_cast<size_t>(largest) + 1);
  for (int stratum : strata) ++counts[static_cast<size_t>(stratum)];
  std::vector<Quota> quotas = StratifiedQuotas(counts, wanted, total);
  for (size_t index : order) {
    size_t& left = quotas[static_cast<size_t>(strata[index])].test;
    if (left > 0) {
      --left;
      split.test.push_back(index);
    } else {
      split.train.push_back(index);
    }
  }
  return split;
}

}  // namespace bertie::data
