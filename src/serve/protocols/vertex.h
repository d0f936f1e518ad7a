// The contract of Google Vertex AI's containers for predictions, with TEI's bodies as instances
// (tei/vertex_message.h).
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "serve/context.h"
#include "serve/route.h"

namespace bertie::serve {

// POST /vertex, as TEI has it, of the default model; the paths of HandlerOptions::vertex, which the
// platform chooses.
class VertexProtocol : public Protocol {
 public:
  explicit VertexProtocol(ServeContext& context) : context_(context) {}

  std::vector<Route> Routes() override;
  // As TEI: the platform hands any error's body on.
  http::Response Refuse(const http::Refusal& refusal, std::string_view request_id) const override;
  formats::Json DescribeRefusal() const override;

 private:
  void Predict(const std::shared_ptr<Call>& call) const;

  ServeContext& context_;
};

}  // namespace bertie::serve
