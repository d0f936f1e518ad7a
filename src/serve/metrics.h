// Counters for GET /metrics, in Prometheus' text form (version 0.0.4).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bertie::serve {

// Not safe for several threads; who holds it guards it.
class Histogram {
 public:
  // first, then each bound `factor` times the one before.
  Histogram(double first, double factor);
  void Observe(double value);
  double sum() const { return sum_; }
  uint64_t count() const { return count_; }
  // labels: "" or such as phase="queue".
  void Append(std::string_view name, std::string_view labels, std::string& out) const;

 private:
  static constexpr size_t kBounds = 14;
  std::array<double, kBounds> bounds_;
  std::array<uint64_t, kBounds + 1> counts_{};  // the last: above every bound
  double sum_ = 0;
  uint64_t count_ = 0;
};

// Where one request's time went, in seconds.
struct PhaseTimes {
  double tokenize = 0;
  double queue = 0;    // from its coming into the queue to its first batch
  double compute = 0;  // from there to its last batch's end
};

// What one request asked of a model.
struct InferenceCounts {
  int64_t texts = 0;
  int64_t truncated = 0;
  int64_t windowed = 0;
  PhaseTimes times;
};

// All that one model has done since it was loaded.
struct ModelTotals {
  int64_t inferences = 0;  // requests that got their logits
  int64_t failures = 0;    // requests that were refused, on any route
  int64_t texts = 0;
  int64_t batches = 0;
  PhaseTimes times;                                 // summed
  std::chrono::system_clock::time_point last = {};  // when the last logits were there
};

// Of one version of one model. Every member may be called from any thread.
class ModelMetrics {
 public:
  ModelMetrics(std::string_view name, std::string_view version);

  // seconds: from the request's coming to its answer, where the model gave one.
  void CountRequest(std::string_view route, int status, std::optional<double> seconds = {});
  void ObserveInference(const InferenceCounts& counts);
  void ObserveBatch(int64_t sequences, int64_t tokens);
  // Each text's labels, as indices.
  void CountPredictions(std::span<const size_t> labels);
  // Texts that are tokenised, wait or are computed: their requests.
  void Enter() { ++inflight_; }
  void Leave() { --inflight_; }
  ModelTotals Totals() const;

 private:
  friend class Metrics;
  struct Route {
    std::map<int, int64_t> requests;  // by status
    Histogram duration{0.001, 2};
  };

  const std::string labels_;  // model="...",version="..."
  std::atomic<int64_t> inflight_{0};
  mutable std::mutex mutex_;  // guards all below
  std::map<std::string, Route, std::less<>> routes_;
  int64_t texts_ = 0;
  int64_t truncated_ = 0;
  int64_t windowed_ = 0;
  std::vector<int64_t> predicted_;  // by label
  Histogram tokenize_{0.00001, 4};
  Histogram queue_{0.0001, 3};
  Histogram compute_{0.001, 2};
  Histogram batch_sequences_{1, 2};
  Histogram batch_tokens_{8, 2};
  std::chrono::system_clock::time_point last_;
};

// What only the owner of the parts knows at the moment of asking.
struct ModelGauges {
  std::shared_ptr<const ModelMetrics> metrics;
  size_t queue_depth = 0;
  int64_t queue_tokens = 0;
  std::span<const std::string> labels = {};
  std::string_view dtype = {};   // "fp32"; "" where another process computes
  std::string_view sha256 = {};  // of the weights; "" where it is not known
};

struct Gauges {
  std::vector<ModelGauges> models;
  size_t connections = 0;
};

// Every member may be called from any thread.
class Metrics {
 public:
  // The same for the same name and version until it is forgotten.
  std::shared_ptr<ModelMetrics> ForModel(const std::string& name, const std::string& version);
  // The model is gone, and so are its lines, that many names in turn take no more memory than one.
  void Forget(const std::string& name, const std::string& version);

  // A request that met no model.
  void CountRequest(std::string_view route, int status);

  std::string Format(const Gauges& gauges) const;

 private:
  // With the mutex held.
  template <class Append>
  void ForEachModel(const Append& append) const;
  void AppendRequests(std::string& out) const;
  void AppendWork(std::string& out) const;
  static void AppendGauges(const Gauges& gauges, std::string& out);

  mutable std::mutex mutex_;                                 // guards all below
  std::map<std::pair<std::string, int>, int64_t> requests_;  // by route and status
  std::map<std::pair<std::string, std::string>, std::shared_ptr<ModelMetrics>> models_;
};

}  // namespace bertie::serve
