// SageMaker's runtime: POST /endpoints/NAME/invocations, passed on to the endpoint's servers;
// /endpoints/NAME/async-invocations is another service's.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cloud/endpoints/endpoint_metrics.h"
#include "cloud/endpoints/endpoints.h"
#include "cloud/endpoints/model_loader.h"
#include "cloud/endpoints/routes.h"
#include "cloud/service.h"
#include "cloud/settings.h"
#include "http/client_pool.h"

namespace bertie::cloud {

// What answers the asynchronous invocations.
class AsyncInvocations {
 public:
  virtual ~AsyncInvocations() = default;

  // As Service's.
  virtual std::optional<http::Response> Refuse(const http::RequestHead& head) = 0;
  virtual void Handle(Call call, std::shared_ptr<http::Exchange> exchange) = 0;
};

class RuntimeService : public Service {
 public:
  // All must outlive the service, which stops servers at its end. store: of several models.
  RuntimeService(const Settings& settings, const Endpoints& endpoints, http::ClientPool& servers,
                 const ObjectStore& store, EndpointMetrics& metrics,
                 std::unique_ptr<AsyncInvocations> async)
      : settings_(settings),
        endpoints_(endpoints),
        servers_(servers),
        metrics_(metrics),
        async_(std::move(async)),
        loader_(store, servers) {}
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
  void LoadThenSend(const std::shared_ptr<Invocation>& invocation);
  void Send(const std::shared_ptr<Invocation>& invocation, const std::string& target);
  static bool AskAgain(Invocation& invocation, const Result<http::ClientAnswer>& answer);

  const Settings& settings_;
  const Endpoints& endpoints_;
  http::ClientPool& servers_;
  EndpointMetrics& metrics_;
  std::unique_ptr<AsyncInvocations> async_;
  ModelLoader loader_;
};

}  // namespace bertie::cloud
