#include "cloud/endpoints/endpoint_metrics.h"

namespace bertie::cloud {
namespace {

double Microseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

}  // namespace

void EndpointMetrics::Record(const Invocation& invocation) {
  const Milliseconds now = Now();
  MetricId id{
      .space = "AWS/SageMaker",
      .name = {},
      .dimensions = {{"EndpointName", invocation.endpoint}, {"VariantName", invocation.variant}}};
  const auto record = [&](const char* name, const char* unit, double value) {
    id.name = name;
    store_.Record(id, unit, value, now);
  };
  const bool client_error = invocation.status >= 400 && invocation.status < 500;
  record("Invocations", "Count", 1);
  record("Invocation4XXErrors", "Count", client_error ? 1 : 0);
  record("Invocation5XXErrors", "Count", invocation.status >= 500 ? 1 : 0);
  record("ModelLatency", "Microseconds", Microseconds(invocation.model));
  record("OverheadLatency", "Microseconds", Microseconds(invocation.total - invocation.model));
}

}  // namespace bertie::cloud
