// Counters for GET /metrics, in Prometheus' text form (version 0.0.4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace bertie::serve {

// Not safe for several threads; Metrics guards it.
class Histogram {
 public:
  // first, then each bound `factor` times the one before.
  Histogram(double first, double factor);
  void Observe(double value);
  // labels: "" or such as phase="queue".
  void Append(std::string_view name, std::string_view labels, std::string& out) const;

 private:
  static constexpr size_t kBounds = 14;
  std::array<double, kBounds> bounds_;
  std::array<uint64_t, kBounds + 1> counts_{};  // the last: above every bound
  double sum_ = 0;
};

// What only the owner of the parts knows at the moment of asking.
struct Gauges {
  size_t queue_depth = 0;
  int64_t queue_tokens = 0;
  size_t connections = 0;
};

// Every member may be called from any thread.
class Metrics {
 public:
  void CountRequest(std::string_view route, int status);
  void CountTexts(int64_t texts, int64_t truncated);
  void ObserveBatch(int64_t sequences, int64_t tokens);
  // Seconds; of one answered invocation.
  void ObserveInvocation(double tokenize, double queue, double compute, double total);

  std::string Format(const Gauges& gauges) const;

 private:
  mutable std::mutex mutex_;                                 // guards all below
  std::map<std::pair<std::string, int>, int64_t> requests_;  // by route and status
  int64_t texts_ = 0;
  int64_t truncated_ = 0;
  Histogram duration_{0.001, 2};
  Histogram tokenize_{0.00001, 4};
  Histogram queue_{0.0001, 3};
  Histogram compute_{0.001, 2};
  Histogram batch_sequences_{1, 2};
  Histogram batch_tokens_{8, 2};
};

}  // namespace bertie::serve
