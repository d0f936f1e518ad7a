// Metrics in Prometheus' text form, version 0.0.4: pieces to append to a page. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bertie::formats {

// Nine digits.
std::string PrometheusNumber(double value);

// NAME="value", escaped; several are joined by commas.
std::string PrometheusLabel(std::string_view name, std::string_view value);

// The lines before a metric's samples. type: "counter", "gauge", "histogram".
void AppendHelp(std::string_view name, std::string_view type, std::string_view help,
                std::string& out);

// labels: "" or PrometheusLabel's.
void AppendSample(std::string_view name, std::string_view labels, std::string_view value,
                  std::string& out);

// AppendHelp and one sample without labels.
void AppendMetric(std::string_view name, std::string_view type, std::string_view help, double value,
                  std::string& out);

// The samples of a histogram. counts has one more than bounds: what is above every bound.
void AppendHistogram(std::string_view name, std::string_view labels, std::span<const double> bounds,
                     std::span<const uint64_t> counts, std::string_view sum, std::string& out);

}  // namespace bertie::formats
