// InvokeEndpointAsync: POST /endpoints/NAME/async-invocations. Source: SageMaker's runtime API
// reference, 2017-05-13.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cloud/async/async_queue.h"
#include "cloud/endpoints/endpoints.h"
#include "cloud/endpoints/runtime_service.h"
#include "cloud/settings.h"

namespace bertie::cloud {

class AsyncService : public AsyncInvocations {
 public:
  // All must outlive the service.
  AsyncService(const Settings& settings, const Endpoints& endpoints, AsyncQueue& queue)
      : settings_(settings), endpoints_(endpoints), queue_(queue) {}

  std::optional<http::Response> Refuse(const http::RequestHead& head) override;
  void Handle(Call call, std::shared_ptr<http::Exchange> exchange) override;

 private:
  http::Response Answer(const Call& call);

  const Settings& settings_;
  const Endpoints& endpoints_;
  AsyncQueue& queue_;
};

}  // namespace bertie::cloud
