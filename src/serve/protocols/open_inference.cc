#include "serve/protocols/open_inference.h"

#include <charconv>
#include <string>
#include <utility>
#include <variant>

#include "base/quote.h"
#include "serve/call.h"
#include "serve/openapi/operations.h"
#include "serve/v2/v2_inference.h"
#include "serve/v2/v2_models.h"

namespace bertie::serve {
namespace {

using formats::Json;
using http::Refusal;
using http::RequestHead;
using http::Response;

constexpr const char* kJsonLength = "Inference-Header-Content-Length";

Response JsonAnswer(const Json& body) {
  return {.content_type = "application/json", .body = formats::DumpJson(body)};
}

// How long the JSON in front of binary tensors is; nullopt: all is JSON.
std::variant<std::optional<size_t>, Refusal> JsonLength(const RequestHead& head) {
  const std::string* field = head.Find(kJsonLength);
  if (!field) return std::nullopt;
  size_t length = 0;
  const char* const end = field->data() + field->size();
  const auto parsed = std::from_chars(field->data(), end, length);
  if (parsed.ec == std::errc() && parsed.ptr == end) return length;
  return Refusal{400, "InvalidInput",
                 std::string(kJsonLength) + " is " + Quote(*field) + "; expected a count of bytes"};
}

void AnswerInfer(Call& call, const V2Plan& plan, bool texts, InferenceResult result) {
  if (const auto* error = std::get_if<InferenceError>(&result)) {
    return call.Refuse(ToRefusal(*error, V2TextName(texts, error->text)));
  }
  const auto& inference = std::get<Inference>(result);
  auto answer = AnswerV2(plan, inference.logits, inference.model->scheme);
  if (!answer.ok()) return call.Refuse({500, "InferenceFailed", answer.error().message});
  answer->model_name = inference.model->id.name;
  answer->model_version = inference.model->id.version;
  V2Body body = FormatV2Answer(*answer);
  Response response{.content_type = "application/json", .body = std::move(body.bytes)};
  if (body.json_length) {
    response.content_type = "application/octet-stream";
    response.fields.push_back({kJsonLength, std::to_string(*body.json_length)});
  }
  AddReadingFields(inference, response.fields);
  call.Respond(std::move(response));
}

}  // namespace

std::vector<Route> OpenInferenceProtocol::Routes() {
  const auto server = [this](const CallPointer& call) {
    call->Respond(JsonAnswer({{"name", "bertie"},
                              {"version", context_.options.version},
                              {"extensions", V2Extensions(V2Transport::kHttp)}}));
  };
  const auto live = [](const CallPointer& call) { call->Respond(JsonAnswer({{"live", true}})); };
  const auto ready = [this](const CallPointer& call) {
    if (const auto refusal = context_.NotReady()) return call->Refuse(*refusal);
    call->Respond(JsonAnswer({{"ready", true}}));
  };
  const auto statistics = [this](const CallPointer& call) {
    Json models = Json::array();
    for (const ModelPointer& model : context_.models.List()) models.push_back(V2Statistics(*model));
    call->Respond(JsonAnswer({{"model_stats", std::move(models)}}));
  };
  std::vector<Route> routes = {
      GetRoute("/v2", server, DescribeV2Server, Access::kKey),
      GetRoute("/v2/health/live", live, DescribeV2Live),
      GetRoute("/v2/health/ready", ready, DescribeV2Ready),
      GetRoute("/v2/models/stats", statistics, DescribeV2Statistics, Access::kKey)};
  AddModelRoutes(routes);
  return routes;
}

void OpenInferenceProtocol::AddModelRoutes(std::vector<Route>& routes) {
  const auto statistics = [](const ServeContext&, const LoadedModel& model) -> Json {
    return {{"model_stats", Json::array({V2Statistics(model)})}};
  };
  for (const std::string base : {"/v2/models/{model}", "/v2/models/{model}/versions/{version}"}) {
    const auto get = [&](const char* ending, Json (*body)(const ServeContext&, const LoadedModel&),
                         Json (*describe)(const DocModel&)) {
      routes.push_back({.pattern = base + ending,
                        .method = "GET",
                        .handle = [this, body](const CallPointer& call) { ForModel(*call, body); },
                        .describe = describe});
    };
    get("", V2Metadata, DescribeV2Model);
    get("/config", V2Config, DescribeV2Config);
    get("/stats", statistics, DescribeV2Statistics);
    routes.push_back({.pattern = base + "/ready",
                      .method = "GET",
                      .handle = [this](const CallPointer& call) { ModelReady(*call); },
                      .describe = DescribeV2ModelReady});
    routes.push_back(
        {.pattern = base + "/infer",
         .method = "POST",
         .handle = [this](const CallPointer& call) { Infer(call); },
         .check = [this](const RequestHead& head,
                         const PathParameters& parameters) { return CheckInfer(head, parameters); },
         .describe = DescribeV2Infer});
  }
}

Response OpenInferenceProtocol::Refuse(const Refusal& refusal, std::string_view) const {
  Response response = JsonAnswer({{"error", refusal.message}});
  response.status = refusal.status;
  return response;
}

Json OpenInferenceProtocol::DescribeRefusal() const { return V2RefusalContent(); }

void OpenInferenceProtocol::ForModel(Call& call,
                                     Json (*body)(const ServeContext&, const LoadedModel&)) const {
  const auto found = context_.FindModel(call.parameter("model"), call.parameter("version"));
  if (const auto* refusal = std::get_if<Refusal>(&found)) return call.Refuse(*refusal);
  const auto& model = std::get<ModelPointer>(found);
  call.SetModel(model);
  call.Respond(JsonAnswer(body(context_, *model)));
}

void OpenInferenceProtocol::ModelReady(Call& call) const {
  const std::string_view name = call.parameter("model");
  if (const auto refusal = V2ModelNotReady(context_, name, call.parameter("version"))) {
    return call.Refuse(*refusal);
  }
  call.Respond(JsonAnswer({{"name", name}, {"ready", true}}));
}

std::optional<Refusal> OpenInferenceProtocol::CheckInfer(const RequestHead& head,
                                                         const PathParameters& parameters) const {
  if (const std::string* encoding = head.Find("Content-Encoding")) {
    if (!http::EqualsIgnoreCase(*encoding, "identity")) {
      return Refusal{415, "UnsupportedEncoding",
                     "Content-Encoding is " + Quote(*encoding) + "; expected none"};
    }
  }
  const auto length = JsonLength(head);
  if (const auto* refusal = std::get_if<Refusal>(&length)) return *refusal;
  const auto found = context_.FindModel(parameters["model"], parameters["version"]);
  if (const auto* refusal = std::get_if<Refusal>(&found)) return *refusal;
  return std::nullopt;
}

void OpenInferenceProtocol::Infer(const CallPointer& call) const {
  // Found anew: the model may have gone since the head came.
  const auto found = context_.FindModel(call->parameter("model"), call->parameter("version"));
  if (const auto* refusal = std::get_if<Refusal>(&found)) return call->Refuse(*refusal);
  const auto& model = std::get<ModelPointer>(found);
  call->SetModel(model);
  auto parsed = ParseV2Request(std::exchange(call->body(), {}),
                               std::get<std::optional<size_t>>(JsonLength(call->head())));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return call->Refuse(*refusal);
  const HandlerOptions& options = context_.options;
  auto planned = PlanV2(std::get<V2Request>(std::move(parsed)),
                        {.max_texts = options.max_texts, .max_length = model->max_length},
                        options.long_texts, model->scheme.labels.size());
  if (const auto* refusal = std::get_if<Refusal>(&planned)) return call->Refuse(*refusal);
  auto& work = std::get<V2Work>(planned);
  work.inference.model = model;
  if (work.plan.timeout) work.inference.deadline = call->begin() + *work.plan.timeout;
  const bool texts = !work.inference.texts.empty();
  Call::Infer(call, std::move(work.inference),
              [plan = std::move(work.plan), texts](Call& answered, InferenceResult result) {
                AnswerInfer(answered, plan, texts, std::move(result));
              });
}

}  // namespace bertie::serve
