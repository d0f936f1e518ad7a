#include "cli/access_log.h"

#include <array>
#include <cstdio>

#include "formats/json.h"

namespace bertie::cli {
namespace {

std::string JsonLine(const serve::AccessRecord& record) {
  // In the order that a reader wants, which a JSON object of ours would not keep.
  std::string line = "{\"time\":\"" + LogTime() + "\",\"level\":\"info\",\"message\":\"request\"";
  const auto text = [&line](const char* name, std::string_view value) {
    if (value.empty()) return;
    line.append(",\"").append(name).append("\":");
    line += formats::DumpJson(formats::Json(value));
  };
  const auto number = [&line](const char* name, const std::string& value) {
    line.append(",\"").append(name).append("\":").append(value);
  };
  std::array<char, 32> seconds;
  std::snprintf(seconds.data(), seconds.size(), "%.6f", record.seconds);
  text("method", record.method);
  text("route", record.route);
  number("status", std::to_string(record.status));
  text("grpc_status", record.grpc_status);
  number("seconds", seconds.data());
  text("model", record.model);
  text("version", record.version);
  if (record.texts > 0) {
    number("texts", std::to_string(record.texts));
    number("tokens", std::to_string(record.tokens));
  }
  text("request_id", record.request_id);
  text("trace_id", record.trace_id);
  return line + "}\n";
}

std::string TextLine(const serve::AccessRecord& record) {
  std::array<char, 32> milliseconds;
  std::snprintf(milliseconds.data(), milliseconds.size(), "%.3f", record.seconds * 1000);
  std::string line = "bertie: ";
  line.append(record.method).append(" ").append(record.route).append(" ");
  line += std::to_string(record.status) + " ";
  if (!record.grpc_status.empty()) line.append(record.grpc_status).append(" ");
  line.append(milliseconds.data()).append(" ms");
  if (!record.model.empty()) {
    line.append(" model=").append(record.model).append("/").append(record.version);
  }
  if (record.texts > 0) {
    line += " texts=" + std::to_string(record.texts) + " tokens=" + std::to_string(record.tokens);
  }
  line.append(" id=").append(record.request_id);
  if (!record.trace_id.empty()) line.append(" trace=").append(record.trace_id);
  return line + "\n";
}

}  // namespace

std::string AccessLine(const serve::AccessRecord& record, LogFormat format) {
  return format == LogFormat::kJson ? JsonLine(record) : TextLine(record);
}

}  // namespace bertie::cli
