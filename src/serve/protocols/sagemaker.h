// The contract of SageMaker's model containers, with the bodies of Hugging Face's pipelines:
// GET /ping and POST /invocations (invocation.h, answer.h).
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "serve/context.h"
#include "serve/inference.h"
#include "serve/invocation.h"
#include "serve/route.h"

namespace bertie::serve {

// X-Amzn-SageMaker-Target-Model names the model of an invocation; without it, the default one.
class SageMakerProtocol : public Protocol {
 public:
  explicit SageMakerProtocol(ServeContext& context) : context_(context) {}

  std::vector<Route> Routes() override;
  http::Response Refuse(const http::Refusal& refusal, std::string_view request_id) const override;

  // An invocation of the model of that name; "": the default one.
  std::optional<http::Refusal> CheckInvocation(const http::RequestHead& head,
                                               std::string_view model) const;
  void Invoke(const std::shared_ptr<Call>& call, std::string_view name) const;

 private:
  ServeContext& context_;
};

}  // namespace bertie::serve
