#include "serve/metrics.h"

#include <algorithm>

#include "base/resident_memory.h"
#include "formats/prometheus.h"

namespace bertie::serve {
using formats::AppendHelp;
using formats::AppendMetric;

Histogram::Histogram(double first, double factor) {
  for (double& bound : bounds_) {
    bound = first;
    first *= factor;
  }
}

void Histogram::Observe(double value) {
  // A value at a bound belongs below it ("le").
  auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<size_t>(bound - bounds_.begin())];
  sum_ += value;
}

void Histogram::Append(std::string_view name, std::string_view labels, std::string& out) const {
  formats::AppendHistogram(name, labels, bounds_, counts_, formats::PrometheusNumber(sum_), out);
}

void Metrics::CountRequest(std::string_view route, int status) {
  std::lock_guard lock(mutex_);
  ++requests_[{std::string(route), status}];
}

void Metrics::CountTexts(int64_t texts, int64_t truncated) {
  std::lock_guard lock(mutex_);
  texts_ += texts;
  truncated_ += truncated;
}

void Metrics::ObserveBatch(int64_t sequences, int64_t tokens) {
  std::lock_guard lock(mutex_);
  batch_sequences_.Observe(static_cast<double>(sequences));
  batch_tokens_.Observe(static_cast<double>(tokens));
}

void Metrics::ObserveInvocation(double tokenize, double queue, double compute, double total) {
  std::lock_guard lock(mutex_);
  tokenize_.Observe(tokenize);
  queue_.Observe(queue);
  compute_.Observe(compute);
  duration_.Observe(total);
}

std::string Metrics::Format(const Gauges& gauges) const {
  std::string out;
  std::lock_guard lock(mutex_);
  AppendHelp("bertie_requests_total", "counter", "HTTP requests answered.", out);
  for (const auto& [key, count] : requests_) {
    formats::AppendSample("bertie_requests_total",
                          formats::PrometheusLabel("route", key.first) + "," +
                              formats::PrometheusLabel("code", std::to_string(key.second)),
                          std::to_string(count), out);
  }
  AppendHelp("bertie_request_duration_seconds", "histogram",
             "From a whole invocation's coming to its answer.", out);
  duration_.Append("bertie_request_duration_seconds", "", out);
  AppendHelp("bertie_phase_duration_seconds", "histogram", "The parts of an invocation's time.",
             out);
  tokenize_.Append("bertie_phase_duration_seconds", "phase=\"tokenize\"", out);
  queue_.Append("bertie_phase_duration_seconds", "phase=\"queue\"", out);
  compute_.Append("bertie_phase_duration_seconds", "phase=\"compute\"", out);
  AppendHelp("bertie_batch_sequences", "histogram", "Texts in a batch.", out);
  batch_sequences_.Append("bertie_batch_sequences", "", out);
  AppendHelp("bertie_batch_tokens", "histogram", "Tokens in a batch.", out);
  batch_tokens_.Append("bertie_batch_tokens", "", out);
  AppendMetric("bertie_texts_total", "counter", "Texts answered.", static_cast<double>(texts_),
               out);
  AppendMetric("bertie_truncated_total", "counter", "Texts cut to the length limit.",
               static_cast<double>(truncated_), out);
  AppendMetric("bertie_queue_depth", "gauge", "Requests that wait for the model.",
               static_cast<double>(gauges.queue_depth), out);
  AppendMetric("bertie_queue_tokens", "gauge", "Tokens that wait for the model.",
               static_cast<double>(gauges.queue_tokens), out);
  AppendMetric("bertie_connections", "gauge", "Open connections.",
               static_cast<double>(gauges.connections), out);
  AppendMetric("process_resident_memory_bytes", "gauge", "Memory in use.",
               static_cast<double>(ResidentBytes()), out);
  return out;
}

}  // namespace bertie::serve
