// SageMaker's runtime: POST /endpoints/NAME/invocations, passed on to the endpoint's servers.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cloud/endpoints/endpoint_metrics.h"
#include "cloud/endpoints/endpoints.h"
#include "cloud/endpoints/routes.h"
#include "cloud/service.h"
#include "cloud/settings.h"
#include "http/client_pool.h"

namespace bertie::cloud {

class RuntimeService : public Service {
 public:
  // All must outlive the service, which stops servers at its end.
  RuntimeService(const Settings& settings, const Endpoints& endpoints, http::ClientPool& servers,
                 EndpointMetrics& metrics)
      : settings_(settings), endpoints_(endpoints), servers_(servers), metrics_(metrics) {}
  ~RuntimeService() override { servers_.Stop(); }

  http::Response Deny(const http::RequestHead& head, const AuthError& error,
                      const std::string& request_id) override;
  http::Response Reject(const http::Refusal& refusal, const std::string& request_id) override;
  std::optional<http::Response> Refuse(const http::RequestHead& head) override;
  void Handle(Call call, std::shared_ptr<http::Exchange> exchange) override;

 private:
  struct Invocation;
  void Ask(std::shared_ptr<Invocation> invocation);
  void Answer(const Invocation& invocation, http::Response response);

  const Settings& settings_;
  const Endpoints& endpoints_;
  http::ClientPool& servers_;
  EndpointMetrics& metrics_;
};

}  // namespace bertie::cloud
