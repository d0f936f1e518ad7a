#include "cloud/metrics/distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bertie::cloud {
namespace {

const double kBinWidth = std::log(1.05);
// Of 0 and what is below it, whose logarithm is none.
constexpr int16_t kLowestBin = std::numeric_limits<int16_t>::min();

int16_t BinOf(double value) {
  if (!(value > 0)) return kLowestBin;
  // The logarithm of any double is within 750, the bin within 15,400.
  return static_cast<int16_t>(std::floor(std::log(value) / kBinWidth));
}

double MiddleOf(int16_t bin) {
  return bin == kLowestBin ? 0 : std::exp((static_cast<double>(bin) + 0.5) * kBinWidth);
}

}  // namespace

void Distribution::Add(double value) {
  Distribution one;
  one.count_ = 1;
  one.sum_ = one.min_ = one.max_ = value;
  one.bins_.emplace_back(BinOf(value), 1);
  Add(one);
}

void Distribution::Add(const Distribution& other) {
  if (other.count_ == 0) return;
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = count_ == 0 ? other.max_ : std::max(max_, other.max_);
  count_ += other.count_;
  sum_ += other.sum_;
  for (const Bin& bin : other.bins_) {
    auto at = std::lower_bound(bins_.begin(), bins_.end(), Bin{bin.first, 0});
    if (at == bins_.end() || at->first != bin.first) at = bins_.insert(at, Bin{bin.first, 0});
    at->second += bin.second;
  }
}

double Distribution::Percentile(double share) const {
  if (count_ == 0) return 0;
  if (share <= 0) return min_;
  const double rank = std::ceil(share * static_cast<double>(count_));
  if (rank >= static_cast<double>(count_)) return max_;
  double below = 0;
  for (const Bin& bin : bins_) {
    below += bin.second;
    if (below >= rank) return std::clamp(MiddleOf(bin.first), min_, max_);
  }
  return max_;
}

}  // namespace bertie::cloud
