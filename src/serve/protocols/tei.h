// The routes of text-embeddings-inference for classifiers (tei/tei_message.h).
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "serve/context.h"
#include "serve/route.h"

namespace bertie::serve {

// POST /predict and /, /rerank, /tokenize and /decode, GET /info and / (its health), all of the
// default model. /invocations, which TEI has too, is SageMaker's here: there a flat list of texts
// is a batch.
class TeiProtocol : public Protocol {
 public:
  explicit TeiProtocol(ServeContext& context) : context_(context) {}

  std::vector<Route> Routes() override;
  // {"error", "error_type"} with the status that TEI has for the type; plain text for what its web
  // framework refuses.
  http::Response Refuse(const http::Refusal& refusal, std::string_view request_id) const override;
  formats::Json DescribeRefusal() const override;

 private:
  using CallPointer = std::shared_ptr<Call>;

  void Predict(const CallPointer& call) const;
  void Rerank(const CallPointer& call) const;
  void Tokenize(Call& call) const;
  void Decode(Call& call) const;
  void Home(const CallPointer& call) const;

  ServeContext& context_;
};

}  // namespace bertie::serve
