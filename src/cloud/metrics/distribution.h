// What is kept of many values: how many, their sum, the extremes, and about how they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bertie::cloud {

class Distribution {
 public:
  void Add(double value);  // finite
  void Add(const Distribution& other);

  uint64_t count() const { return count_; }
  double sum() const { return sum_; }
  // 0 while there is nothing.
  double min() const { return min_; }
  double max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  // share: from 0 to 1. Within 2.5 % of a value that was added, for values above 0; exact at the
  // ends. 0 while there is nothing.
  double Percentile(double share) const;

  // Of memory, with this.
  size_t bytes() const { return sizeof(*this) + bins_.capacity() * sizeof(bins_[0]); }

 private:
  using Bin = std::pair<int16_t, uint32_t>;  // which, and how many

  uint64_t count_ = 0;
  double sum_ = 0, min_ = 0, max_ = 0;
  std::vector<Bin> bins_;  // sorted; a bin's bounds are a twentieth apart
};

}  // namespace bertie::cloud
