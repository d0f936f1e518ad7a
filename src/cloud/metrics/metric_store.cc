#include "cloud/metrics/metric_store.h"

#include <algorithm>

namespace bertie::cloud {
namespace {

constexpr Milliseconds kSecondSlot = 1000;
constexpr Milliseconds kMinuteSlot = 60'000;
constexpr size_t kSecondsKept = 600;
constexpr size_t kMinutesKept = 24 * 60;

size_t BytesOf(const MetricSlot& slot) {
  return sizeof(slot) - sizeof(slot.values) + slot.values.bytes();
}

}  // namespace

void MetricStore::Record(const MetricId& metric, const char* unit, double value,
                         Milliseconds time) {
  std::lock_guard lock(mutex_);
  Series& series = series_[metric];
  series.unit = unit;
  AddTo(series.seconds, kSecondSlot, kSecondsKept, value, time);
  AddTo(series.minutes, kMinuteSlot, kMinutesKept, value, time);
  if (series_.size() > limits_.max_series) DropOldestSeries();
  while (bytes_ > limits_.max_bytes) DropOlderHalf();
}

void MetricStore::AddTo(Slots& slots, Milliseconds width, size_t most, double value,
                        Milliseconds time) {
  const Milliseconds begin = time - time % width;
  if (slots.empty() || slots.back().time < begin) {
    slots.push_back({begin, {}});
  } else {
    bytes_ -= BytesOf(slots.back());
  }
  slots.back().values.Add(value);
  bytes_ += BytesOf(slots.back());
  const auto kept = static_cast<Milliseconds>(most) * width;
  while (slots.front().time <= slots.back().time - kept) DropFront(slots);
}

void MetricStore::DropFront(Slots& slots) {
  bytes_ -= BytesOf(slots.front());
  slots.pop_front();
}

void MetricStore::DropOldestSeries() {
  const auto oldest =
      std::min_element(series_.begin(), series_.end(), [](const auto& a, const auto& b) {
        return a.second.seconds.back().time < b.second.seconds.back().time;
      });
  for (Slots* slots : {&oldest->second.seconds, &oldest->second.minutes}) {
    while (!slots->empty()) DropFront(*slots);
  }
  series_.erase(oldest);
}

// The last slot of each stays.
void MetricStore::DropOlderHalf() {
  bool dropped = false;
  for (auto& [metric, series] : series_) {
    for (Slots* slots : {&series.seconds, &series.minutes}) {
      for (size_t n = slots->size() / 2; n > 0; --n) {
        DropFront(*slots);
        dropped = true;
      }
    }
  }
  if (!dropped && !series_.empty()) DropOldestSeries();
}

std::vector<MetricId> MetricStore::Metrics() const {
  std::lock_guard lock(mutex_);
  std::vector<MetricId> metrics;
  for (const auto& [metric, series] : series_) metrics.push_back(metric);
  return metrics;
}

std::vector<MetricSlot> MetricStore::Read(const MetricId& metric, const MetricSpan& span,
                                          bool coarse) const {
  std::lock_guard lock(mutex_);
  const auto found = series_.find(metric);
  if (found == series_.end()) return {};
  const Slots& slots = coarse ? found->second.minutes : found->second.seconds;
  std::vector<MetricSlot> held;
  for (const MetricSlot& slot : slots) {
    if (span.Holds(slot.time)) held.push_back(slot);
  }
  return held;
}

const char* MetricStore::UnitOf(const MetricId& metric) const {
  std::lock_guard lock(mutex_);
  const auto found = series_.find(metric);
  return found == series_.end() ? "None" : found->second.unit;
}

size_t MetricStore::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace bertie::cloud
