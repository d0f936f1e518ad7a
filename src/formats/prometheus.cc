#include "formats/prometheus.h"

#include <cstdio>

namespace bertie::formats {

std::string PrometheusNumber(double value) {
  char text[32];
  const int size = std::snprintf(text, sizeof(text), "%.9g", value);
  return {text, static_cast<size_t>(size)};
}

std::string PrometheusLabel(std::string_view name, std::string_view value) {
  std::string out = std::string(name) + "=\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void AppendHelp(std::string_view name, std::string_view type, std::string_view help,
                std::string& out) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
  out.append(name).append(" ").append(type).append("\n");
}

void AppendSample(std::string_view name, std::string_view labels, std::string_view value,
                  std::string& out) {
  out.append(name);
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out.append(" ").append(value).append("\n");
}

void AppendMetric(std::string_view name, std::string_view type, std::string_view help, double value,
                  std::string& out) {
  AppendHelp(name, type, help, out);
  AppendSample(name, "", PrometheusNumber(value), out);
}

void AppendHistogram(std::string_view name, std::string_view labels, std::span<const double> bounds,
                     std::span<const uint64_t> counts, std::string_view sum, std::string& out) {
  const std::string whole(name);
  const std::string before = labels.empty() ? "" : std::string(labels) + ",";
  uint64_t count = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    count += counts[i];
    const std::string bound = i < bounds.size() ? PrometheusNumber(bounds[i]) : "+Inf";
    AppendSample(whole + "_bucket", before + PrometheusLabel("le", bound), std::to_string(count),
                 out);
  }
  AppendSample(whole + "_sum", labels, sum, out);
  AppendSample(whole + "_count", labels, std::to_string(count), out);
}

}  // namespace bertie::formats
