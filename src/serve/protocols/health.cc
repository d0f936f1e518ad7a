#include "serve/protocols/health.h"

#include <utility>

#include "serve/call.h"
#include "serve/openapi/operations.h"
#include "serve/refusal.h"

namespace bertie::serve {

std::vector<Route> HealthProtocol::Routes() {
  const auto health = [this](const std::shared_ptr<Call>& call) { AnswerHealth(context_, *call); };
  // It lives as long as it answers, whatever it waits for.
  const auto live = [](const std::shared_ptr<Call>& call) { call->Respond({}); };
  const auto metrics = [this](const std::shared_ptr<Call>& call) { call->Respond(MetricsPage()); };
  return {GetRoute("/health", health, DescribeHealth), GetRoute("/readyz", health, DescribeHealth),
          GetRoute("/livez", live, DescribeLive), GetRoute("/metrics", metrics, DescribeMetrics)};
}

http::Response HealthProtocol::Refuse(const http::Refusal& refusal,
                                      std::string_view request_id) const {
  return OwnRefusal(refusal, request_id);
}

http::Response HealthProtocol::MetricsPage() const {
  Gauges gauges;
  const std::vector<ModelPointer> models = context_.models.List();
  for (const ModelPointer& model : models) {
    gauges.models.push_back(
        {.metrics = model->metrics,
         .queue_depth = model->batcher->queued_requests(),
         .queue_tokens = model->batcher->queued_tokens(),
         .labels = model->scheme.labels,
         .dtype = model->summary.precision ? model::PrecisionName(*model->summary.precision) : "",
         .sha256 = model->folder.weights_sha256});
  }
  if (context_.connections) gauges.connections = context_.connections();
  const std::string more = context_.options.more_metrics ? context_.options.more_metrics() : "";
  return {.content_type = "text/plain; version=0.0.4",
          .body = context_.metrics.Format(gauges) + more};
}

}  // namespace bertie::serve
