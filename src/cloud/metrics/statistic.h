// CloudWatch's statistics by their names.
#pragma once

#include <optional>
#include <string_view>

#include "cloud/metrics/distribution.h"

namespace bertie::cloud {

class Statistic {
 public:
  // SampleCount, Average, Sum, Minimum, Maximum, p0 to p100 with up to two decimals; nullopt for
  // anything else.
  static std::optional<Statistic> Parse(std::string_view name);

  double Of(const Distribution& values) const;
  bool extended() const { return kind_ == Kind::kPercentile; }

 private:
  enum class Kind { kSampleCount, kAverage, kSum, kMinimum, kMaximum, kPercentile };
  explicit Statistic(Kind kind, double share = 0) : kind_(kind), share_(share) {}

  Kind kind_;
  double share_;
};

}  // namespace bertie::cloud
