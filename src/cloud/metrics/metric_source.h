// Who measures, and what: metrics by namespace, name and dimensions, as CloudWatch has them.
#pragma once

#include <compare>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "cloud/metrics/distribution.h"
#include "cloud/times.h"

namespace bertie::cloud {

struct MetricId {
  std::string space;  // the namespace: "AWS/SageMaker"
  std::string name;
  std::map<std::string, std::string> dimensions = {};

  auto operator<=>(const MetricId&) const = default;
};

// [from, until)
struct MetricSpan {
  Milliseconds from = 0;
  Milliseconds until = std::numeric_limits<Milliseconds>::max();
  bool Holds(Milliseconds time) const { return time >= from && time < until; }
};

// What was measured within a second, or a minute, that begins here.
struct MetricSlot {
  Milliseconds time = 0;
  Distribution values;
};

// Any thread.
class MetricSource {
 public:
  virtual ~MetricSource() = default;
  // In order.
  virtual std::vector<MetricId> Metrics() const = 0;
  // By time; those that begin in the span. Empty for a metric that is not its own. coarse: slots of
  // a minute do, where there are such.
  virtual std::vector<MetricSlot> Read(const MetricId& metric, const MetricSpan& span,
                                       bool coarse) const = 0;
  // In CloudWatch's words: Count, Microseconds, None.
  virtual const char* UnitOf(const MetricId& metric) const = 0;
};

}  // namespace bertie::cloud
