#include "serve/metrics.h"

#include <algorithm>

#include "base/resident_memory.h"
#include "formats/prometheus.h"

namespace bertie::serve {
using formats::AppendHelp;
using formats::AppendMetric;
using formats::AppendSample;
using formats::PrometheusLabel;

namespace {

std::string RequestLabels(std::string_view model, std::string_view route, int status) {
  std::string labels(model);
  if (!labels.empty()) labels += ",";
  return labels + PrometheusLabel("route", route) + "," +
         PrometheusLabel("code", std::to_string(status));
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
  ++count_;
}

void Histogram::Append(std::string_view name, std::string_view labels, std::string& out) const {
  formats::AppendHistogram(name, labels, bounds_, counts_, formats::PrometheusNumber(sum_), out);
}

ModelMetrics::ModelMetrics(std::string_view name, std::string_view version)
    : labels_(PrometheusLabel("model", name) + "," + PrometheusLabel("version", version)) {}

void ModelMetrics::CountRequest(std::string_view route, int status, std::optional<double> seconds) {
  std::lock_guard lock(mutex_);
  auto found = routes_.find(route);
  if (found == routes_.end()) found = routes_.try_emplace(std::string(route)).first;
  ++found->second.requests[status];
  if (seconds) found->second.duration.Observe(*seconds);
}

void ModelMetrics::ObserveInference(const InferenceCounts& counts) {
  std::lock_guard lock(mutex_);
  texts_ += counts.texts;
  truncated_ += counts.truncated;
  windowed_ += counts.windowed;
  tokenize_.Observe(counts.times.tokenize);
  queue_.Observe(counts.times.queue);
  compute_.Observe(counts.times.compute);
  last_ = std::chrono::system_clock::now();
}

void ModelMetrics::ObserveBatch(int64_t sequences, int64_t tokens) {
  std::lock_guard lock(mutex_);
  batch_sequences_.Observe(static_cast<double>(sequences));
  batch_tokens_.Observe(static_cast<double>(tokens));
}

ModelTotals ModelMetrics::Totals() const {
  std::lock_guard lock(mutex_);
  ModelTotals totals{.inferences = static_cast<int64_t>(tokenize_.count()),
                     .texts = texts_,
                     .batches = static_cast<int64_t>(batch_sequences_.count()),
                     .times = {tokenize_.sum(), queue_.sum(), compute_.sum()},
                     .last = last_};
  for (const auto& [name, route] : routes_) {
    for (const auto& [status, count] : route.requests) {
      if (status >= 400) totals.failures += count;
    }
  }
  return totals;
}

void ModelMetrics::CountPredictions(std::span<const size_t> labels) {
  std::lock_guard lock(mutex_);
  for (size_t label : labels) {
    if (predicted_.size() <= label) predicted_.resize(label + 1);
    ++predicted_[label];
  }
}

std::shared_ptr<ModelMetrics> Metrics::ForModel(const std::string& name,
                                                const std::string& version) {
  std::lock_guard lock(mutex_);
  auto& found = models_[{name, version}];
  if (!found) found = std::make_shared<ModelMetrics>(name, version);
  return found;
}

void Metrics::Forget(const std::string& name, const std::string& version) {
  std::lock_guard lock(mutex_);
  models_.erase({name, version});
}

void Metrics::CountRequest(std::string_view route, int status) {
  std::lock_guard lock(mutex_);
  ++requests_[{std::string(route), status}];
}

// One metric after the other, for all the lines of one stand together; each as of its own moment.
std::string Metrics::Format(const Gauges& gauges) const {
  std::string out;
  std::lock_guard lock(mutex_);
  AppendRequests(out);
  AppendWork(out);
  AppendGauges(gauges, out);
  return out;
}

template <class Append>
void Metrics::ForEachModel(const Append& append) const {
  for (const auto& [key, model] : models_) {
    std::lock_guard lock(model->mutex_);
    append(*model);
  }
}

void Metrics::AppendRequests(std::string& out) const {
  using Model = const ModelMetrics&;
  const std::string total = "bertie_requests_total";
  AppendHelp(total, "counter", "Requests answered, over HTTP and gRPC.", out);
  for (const auto& [key, count] : requests_) {
    AppendSample(total, RequestLabels("", key.first, key.second), std::to_string(count), out);
  }
  ForEachModel([&](Model model) {
    for (const auto& [name, route] : model.routes_) {
      for (const auto& [status, count] : route.requests) {
        AppendSample(total, RequestLabels(model.labels_, name, status), std::to_string(count), out);
      }
    }
  });
  const std::string duration = "bertie_request_duration_seconds";
  AppendHelp(duration, "histogram",
             "From a whole request's coming to its answer, where a model gave one.", out);
  ForEachModel([&](Model model) {
    for (const auto& [name, route] : model.routes_) {
      if (route.duration.count() == 0) continue;
      route.duration.Append(duration, model.labels_ + "," + PrometheusLabel("route", name), out);
    }
  });
}

void Metrics::AppendWork(std::string& out) const {
  using Model = const ModelMetrics&;
  AppendHelp("bertie_phase_duration_seconds", "histogram", "The parts of a request's time.", out);
  ForEachModel([&](Model model) {
    for (const auto& [phase, times] : {std::pair("tokenize", &model.tokenize_),
                                       {"queue", &model.queue_},
                                       {"compute", &model.compute_}}) {
      times->Append("bertie_phase_duration_seconds",
                    model.labels_ + "," + PrometheusLabel("phase", phase), out);
    }
  });
  AppendHelp("bertie_batch_sequences", "histogram", "Texts in a batch, or their windows.", out);
  ForEachModel([&](Model model) {
    model.batch_sequences_.Append("bertie_batch_sequences", model.labels_, out);
  });
  AppendHelp("bertie_batch_tokens", "histogram", "Tokens in a batch.", out);
  ForEachModel(
      [&](Model model) { model.batch_tokens_.Append("bertie_batch_tokens", model.labels_, out); });
  const auto each = [&](const char* name, const char* type, const char* help, const auto& value) {
    AppendHelp(name, type, help, out);
    ForEachModel(
        [&](Model model) { AppendSample(name, model.labels_, std::to_string(value(model)), out); });
  };
  each("bertie_texts_total", "counter", "Texts answered.", [](Model m) { return m.texts_; });
  each("bertie_truncated_total", "counter", "Texts cut to the length limit.",
       [](Model m) { return m.truncated_; });
  each("bertie_windowed_total", "counter", "Texts read in several windows.",
       [](Model m) { return m.windowed_; });
  each("bertie_inflight", "gauge", "Requests that a model works on.",
       [](Model m) { return m.inflight_.load(); });
}

void Metrics::AppendGauges(const Gauges& gauges, std::string& out) {
  AppendHelp("bertie_predicted_total", "counter", "Texts by the label that they were given.", out);
  for (const ModelGauges& model : gauges.models) {
    std::lock_guard lock(model.metrics->mutex_);
    const std::vector<int64_t>& predicted = model.metrics->predicted_;
    std::map<std::string_view, int64_t> counts;  // a name that two labels have stands once
    for (size_t i = 0; i < model.labels.size(); ++i) {
      counts[model.labels[i]] += i < predicted.size() ? predicted[i] : 0;
    }
    for (const auto& [label, count] : counts) {
      AppendSample("bertie_predicted_total",
                   model.metrics->labels_ + "," + PrometheusLabel("label", label),
                   std::to_string(count), out);
    }
  }
  AppendHelp("bertie_queue_depth", "gauge", "Requests that wait for the model.", out);
  for (const ModelGauges& model : gauges.models) {
    AppendSample("bertie_queue_depth", model.metrics->labels_, std::to_string(model.queue_depth),
                 out);
  }
  AppendHelp("bertie_queue_tokens", "gauge", "Tokens that wait for the model.", out);
  for (const ModelGauges& model : gauges.models) {
    AppendSample("bertie_queue_tokens", model.metrics->labels_, std::to_string(model.queue_tokens),
                 out);
  }
  AppendHelp("bertie_model_loaded_info", "gauge", "1 for each model that is served.", out);
  for (const ModelGauges& model : gauges.models) {
    std::string labels = model.metrics->labels_;
    if (!model.dtype.empty()) labels += "," + PrometheusLabel("dtype", model.dtype);
    if (!model.sha256.empty()) labels += "," + PrometheusLabel("sha256", model.sha256);
    AppendSample("bertie_model_loaded_info", labels, "1", out);
  }
  AppendMetric("bertie_connections", "gauge", "Open connections.",
               static_cast<double>(gauges.connections), out);
  AppendMetric("process_resident_memory_bytes", "gauge", "Memory in use.",
               static_cast<double>(ResidentBytes()), out);
}

}  // namespace bertie::serve
