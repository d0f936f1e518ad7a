#include "serve/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace bertie::serve {
namespace {

std::string Number(double value) {
  std::array<char, 32> text;
  int size = std::snprintf(text.data(), text.size(), "%.9g", value);
  return {text.data(), static_cast<size_t>(size)};
}

void AppendHelp(std::string_view name, std::string_view type, std::string_view help,
                std::string& out) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  out.append(name).append(" ").append(type).append("\n");
}

void AppendValue(std::string_view name, std::string_view type, std::string_view help, double value,
                 std::string& out) {
  AppendHelp(name, type, help, out);
  out.append(name).append(" ").append(Number(value)).append("\n");
}

double ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  double total = 0;
  double resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace

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
  const std::string prefix = labels.empty() ? "{" : "{" + std::string(labels) + ",";
  const std::string suffix = labels.empty() ? "" : "{" + std::string(labels) + "}";
  int64_t count = 0;
  for (size_t i = 0; i <= kBounds; ++i) {
    count += counts_[i];
    out.append(name).append("_bucket").append(prefix).append("le=\"");
    out.append(i < kBounds ? Number(bounds_[i]) : "+Inf").append("\"} ");
    out.append(std::to_string(count)).append("\n");
  }
  out.append(name).append("_sum").append(suffix).append(" ").append(Number(sum_)).append("\n");
  out.append(name).append("_count").append(suffix).append(" ");
  out.append(std::to_string(count)).append("\n");
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
    out.append("bertie_requests_total{route=\"").append(key.first).append("\",code=\"");
    out.append(std::to_string(key.second)).append("\"} ").append(std::to_string(count));
    out.append("\n");
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
  AppendValue("bertie_texts_total", "counter", "Texts answered.", static_cast<double>(texts_), out);
  AppendValue("bertie_truncated_total", "counter", "Texts cut to the length limit.",
              static_cast<double>(truncated_), out);
  AppendValue("bertie_queue_depth", "gauge", "Requests that wait for the model.",
              static_cast<double>(gauges.queue_depth), out);
  AppendValue("bertie_queue_tokens", "gauge", "Tokens that wait for the model.",
              static_cast<double>(gauges.queue_tokens), out);
  AppendValue("bertie_connections", "gauge", "Open connections.",
              static_cast<double>(gauges.connections), out);
  AppendValue("process_resident_memory_bytes", "gauge", "Memory in use.", ResidentBytes(), out);
  return out;
}

}  // namespace bertie::serve
