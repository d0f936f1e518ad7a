// Metrics that are measured here, in memory: by the second for the last ten minutes, by the minute
// for the last day. They end with the process.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cloud/metrics/metric_source.h"

namespace bertie::cloud {

struct MetricStoreLimits {
  // Of memory, about. Beyond it the older half of everything goes.
  size_t max_bytes = size_t{32} << 20;
  // Metrics with their dimensions. Beyond it the one goes that was measured longest ago.
  size_t max_series = 2000;
};

class MetricStore : public MetricSource {
 public:
  explicit MetricStore(MetricStoreLimits limits = {}) : limits_(limits) {}

  // unit: of static lifetime. A time before the last one's second counts as that second.
  void Record(const MetricId& metric, const char* unit, double value, Milliseconds time);

  std::vector<MetricId> Metrics() const override;
  std::vector<MetricSlot> Read(const MetricId& metric, const MetricSpan& span,
                               bool coarse) const override;
  const char* UnitOf(const MetricId& metric) const override;

  size_t bytes() const;

 private:
  using Slots = std::deque<MetricSlot>;
  struct Series {
    const char* unit = "None";
    Slots seconds;
    Slots minutes;
  };

  void AddTo(Slots& slots, Milliseconds width, size_t most, double value, Milliseconds time);
  void DropFront(Slots& slots);
  void DropOldestSeries();
  void DropOlderHalf();

  const MetricStoreLimits limits_;
  mutable std::mutex mutex_;  // guards all below
  std::map<MetricId, Series> series_;
  size_t bytes_ = 0;
};

}  // namespace bertie::cloud
