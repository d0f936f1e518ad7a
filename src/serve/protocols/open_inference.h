// The Open Inference Protocol, version 2, over REST, with Triton's extensions binary data,
// classification, statistics and model configuration (v2/v2_message.h, v2/v2_inference.h).
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "serve/context.h"
#include "serve/route.h"

namespace bertie::serve {

class OpenInferenceProtocol : public Protocol {
 public:
  explicit OpenInferenceProtocol(ServeContext& context) : context_(context) {}

  std::vector<Route> Routes() override;
  // {"error": "..."}.
  http::Response Refuse(const http::Refusal& refusal, std::string_view request_id) const override;
  formats::Json DescribeRefusal() const override;
  bool Owns(std::string_view path) const override {
    return path == "/v2" || path.starts_with("/v2/");
  }

 private:
  using CallPointer = std::shared_ptr<Call>;

  // Routes under /v2/models/{model}, with a version and without.
  void AddModelRoutes(std::vector<Route>& routes);
  // Answers with body(model), or refuses where there is no such model.
  void ForModel(Call& call, formats::Json (*body)(const ServeContext&, const LoadedModel&)) const;
  void ModelReady(Call& call) const;
  std::optional<http::Refusal> CheckInfer(const http::RequestHead& head,
                                          const PathParameters& parameters) const;
  void Infer(const CallPointer& call) const;

  ServeContext& context_;
};

}  // namespace bertie::serve
