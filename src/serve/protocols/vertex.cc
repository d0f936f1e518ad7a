#include "serve/protocols/vertex.h"

#include <string>
#include <utility>
#include <variant>

#include "serve/call.h"
#include "serve/openapi/operations.h"
#include "serve/refusal.h"
#include "serve/tei/tei_answer.h"
#include "serve/tei/vertex_message.h"

namespace bertie::serve {
namespace {

constexpr const char* kVertexPath = "/vertex";

// The texts' work, which leaves request without them.
InferenceRequest ToInference(const ServeContext& context, ModelPointer model,
                             VertexRequest& request) {
  InferenceRequest inference{.model = std::move(model), .texts = std::exchange(request.texts, {})};
  inference.truncations.reserve(inference.texts.size());
  for (const VertexInstance& instance : request.instances) {
    const auto truncation = [&](const auto& body) { return TeiTruncation(context, body); };
    inference.truncations.insert(inference.truncations.end(), instance.texts,
                                 std::visit(truncation, instance.body));
  }
  return inference;
}

}  // namespace

std::vector<Route> VertexProtocol::Routes() {
  const auto predict = [this](const std::shared_ptr<Call>& call) { Predict(call); };
  const auto health = [this](const std::shared_ptr<Call>& call) { AnswerHealth(context_, *call); };
  std::vector<Route> routes = {TeiRoute(kVertexPath, predict, DescribeVertex)};
  const VertexPaths& paths = context_.options.vertex;
  if (!paths.predict.empty() && paths.predict != kVertexPath) {
    routes.push_back(TeiRoute(paths.predict, predict, DescribeVertex));
  }
  if (!paths.health.empty()) routes.push_back(GetRoute(paths.health, health, DescribeHealth));
  return routes;
}

http::Response VertexProtocol::Refuse(const http::Refusal& refusal, std::string_view) const {
  return TeiRefusal(refusal);
}

formats::Json VertexProtocol::DescribeRefusal() const { return TeiRefusalContent(); }

void VertexProtocol::Predict(const std::shared_ptr<Call>& call) const {
  const ModelPointer model = TakeTeiModel(context_, *call);
  if (!model) return;
  auto parsed = ParseVertexRequest(std::exchange(call->body(), {}), context_.options.max_texts);
  if (const auto* refusal = std::get_if<http::Refusal>(&parsed)) return call->Refuse(*refusal);
  const auto request = std::make_shared<VertexRequest>(std::move(std::get<VertexRequest>(parsed)));
  if (AsksForRanks(*request) && model->scheme.labels.size() != 1) {
    return call->Refuse(NoReranker());
  }
  InferTei(call, ToInference(context_, model, *request),
           {.format =
                [request](const Inference& result) {
                  return FormatVertexPredictions(*request, result.logits, result.model->scheme);
                },
            .where = [request](size_t text) { return VertexInstanceOfText(*request, text); }});
}

}  // namespace bertie::serve
