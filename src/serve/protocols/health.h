// GET /health, Kubernetes' /livez and /readyz, and GET /metrics.
#pragma once

#include <string_view>
#include <vector>

#include "serve/context.h"
#include "serve/route.h"

namespace bertie::serve {

class HealthProtocol : public Protocol {
 public:
  explicit HealthProtocol(ServeContext& context) : context_(context) {}

  std::vector<Route> Routes() override;
  http::Response Refuse(const http::Refusal& refusal, std::string_view request_id) const override;

 private:
  http::Response MetricsPage() const;

  ServeContext& context_;
};

}  // namespace bertie::serve
