#include "serve/protocols/tei.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/ascii.h"
#include "serve/call.h"
#include "serve/openapi/operations.h"
#include "serve/refusal.h"
#include "serve/tei/tei_info.h"
#include "serve/tei/tei_tokens.h"

namespace bertie::serve {
namespace {

using formats::Json;
using http::Refusal;
using http::RequestHead;
using http::Response;

// TEI's error types, and bertie's refusals that mean them.
struct TeiError {
  const char* type;
  int status;
  std::vector<std::string_view> refusals;
};

const TeiError kTeiErrors[] = {
    {"Unhealthy", 503, {"Loading", "ShuttingDown", "ServiceUnavailable"}},
    {"Backend", 424, {"InferenceFailed", "OutOfMemory", "InternalError", "Cancelled"}},
    {"Overloaded", 429, {"QueueFull", "DeadlineExceeded"}},
    {"Validation", 413, {"TextTooLong", "TooManyTokens", "BodyTooLarge"}},
    {"Empty", 400, {}},
};

const TeiError* FindTeiError(std::string_view type) {
  for (const TeiError& error : kTeiErrors) {
    const auto& meant = error.refusals;
    if (error.type == type || std::find(meant.begin(), meant.end(), type) != meant.end()) {
      return &error;
    }
  }
  return nullptr;
}

std::optional<Refusal> CheckJson(const RequestHead& head) {
  const std::string* type = head.Find("Content-Type");
  const std::string name = AsciiLower(type ? type->substr(0, type->find(';')) : "");
  if (name == "application/json" || (name.starts_with("application/") && name.ends_with("+json"))) {
    return std::nullopt;
  }
  return Refusal{415, "PlainText", "Expected request with `Content-Type: application/json`"};
}

bool WantsHtml(const RequestHead& head) {
  const std::string* accept = head.Find("Accept");
  return accept && AsciiLower(*accept).find("text/html") != std::string::npos;
}

std::string InMilliseconds(double seconds) {
  return std::to_string(static_cast<int64_t>(seconds * 1000));
}

// characters: of all texts.
void AddTimings(const Call& call, const Inference& inference, size_t characters,
                Response& response) {
  const std::string total =
      InMilliseconds(std::chrono::duration<double>(Clock::now() - call.begin()).count());
  uint64_t tokens = 0;
  for (const TextTokens& text : inference.texts) tokens += text.tokens;
  response.fields = {{"x-compute-type", "cpu"},
                     {"x-compute-time", total},
                     {"x-compute-characters", std::to_string(characters)},
                     {"x-compute-tokens", std::to_string(tokens)},
                     {"x-total-time", total},
                     {"x-tokenization-time", InMilliseconds(inference.times.tokenize)},
                     {"x-queue-time", InMilliseconds(inference.times.queue)},
                     {"x-inference-time", InMilliseconds(inference.times.compute)}};
}

// In TEI's words where it has some.
Refusal RefusalOf(const InferenceError& error) {
  if (error.kind == InferenceError::Kind::kTextTooLong) {
    return {413, "TextTooLong",
            "`inputs` must have less than " + std::to_string(error.limit) +
                " tokens. Given: " + std::to_string(error.found)};
  }
  return ToRefusal(error);
}

}  // namespace

std::vector<Route> TeiProtocol::Routes() {
  const auto check = [](const RequestHead& head, const PathParameters&) { return CheckJson(head); };
  const auto post = [&check](const char* pattern, auto handle, auto* describe) {
    return Route{.pattern = pattern,
                 .method = "POST",
                 .handle = std::move(handle),
                 .check = check,
                 .describe = describe};
  };
  const auto predict = [this](const CallPointer& call) { Predict(call); };
  const auto info = [this](const CallPointer& call) {
    const ModelPointer model = TakeModel(*call);
    if (!model) return;
    call->Respond(
        {.content_type = "application/json", .body = formats::DumpJson(TeiInfo(context_, *model))});
  };
  return {
      post("/predict", predict, DescribeTeiPredict),
      post("/", predict, DescribeTeiPredict),
      post(
          "/rerank", [this](const CallPointer& call) { Rerank(call); }, DescribeTeiRerank),
      post(
          "/tokenize", [this](const CallPointer& call) { Tokenize(*call); }, DescribeTeiTokenize),
      post(
          "/decode", [this](const CallPointer& call) { Decode(*call); }, DescribeTeiDecode),
      {.pattern = "/info", .method = "GET", .handle = info, .describe = DescribeTeiInfo},
      {.pattern = "/",
       .method = "GET",
       .handle = [this](const CallPointer& call) { Home(call); },
       .access = Access::kOpen,
       .describe = DescribeHealth}};
}

Response TeiProtocol::Refuse(const Refusal& refusal, std::string_view) const {
  Response response{.status = refusal.status};
  if (std::string_view(refusal.type) == "PlainText") {
    response.content_type = "text/plain; charset=utf-8";
    response.body = refusal.message;
    return response;
  }
  if (refusal.status == 401) return response;  // TEI's has no body
  const TeiError* error = FindTeiError(refusal.type);
  if (error) response.status = error->status;
  // 404, 405 and their like are not TEI's own.
  const char* type = error ? error->type : refusal.status < 500 ? "Validation" : "Backend";
  response.content_type = "application/json";
  response.body = "{\"error\":" + formats::DumpJson(Json(refusal.message)) + ",\"error_type\":\"" +
                  type + "\"}";
  return response;
}

Json TeiProtocol::DescribeRefusal() const { return TeiRefusalContent(); }

ModelPointer TeiProtocol::TakeModel(Call& call) const {
  auto found = context_.FindModel();
  if (const auto* refusal = std::get_if<Refusal>(&found)) {
    call.Refuse(*refusal);
    return nullptr;
  }
  call.SetModel(std::get<ModelPointer>(found));
  return std::get<ModelPointer>(std::move(found));
}

void TeiProtocol::Predict(const CallPointer& call) const {
  const ModelPointer model = TakeModel(*call);
  if (!model) return;
  auto parsed = ParseTeiPredict(std::exchange(call->body(), {}), context_.options.max_texts);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return call->Refuse(*refusal);
  auto& request = std::get<TeiPredict>(parsed);
  InferenceRequest inference{.model = model, .texts = std::exchange(request.texts, {})};
  const TeiOptions options = request.options;
  Infer(call, options, std::move(inference),
        [request = std::move(request)](const Inference& result) {
          return FormatTeiPredictions(request, result.logits, result.model->scheme);
        });
}

void TeiProtocol::Rerank(const CallPointer& call) const {
  const ModelPointer model = TakeModel(*call);
  if (!model) return;
  auto parsed = ParseTeiRerank(std::exchange(call->body(), {}), context_.options.max_texts);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return call->Refuse(*refusal);
  if (model->scheme.labels.size() != 1) {
    return call->Refuse({424, "Backend", "model is not a re-ranker model"});
  }
  auto& request = std::get<TeiRerank>(parsed);
  InferenceRequest inference{.model = model};
  for (const std::string& text : request.texts) inference.texts.push_back({request.query, text});
  const TeiOptions options = request.options;
  Infer(call, options, std::move(inference),
        [request = std::move(request)](const Inference& result) {
          return FormatTeiRanks(request, result.logits, result.model->scheme);
        });
}

void TeiProtocol::Infer(const CallPointer& call, const TeiOptions& options,
                        InferenceRequest request, Format format) const {
  request.truncation = {.truncate = options.truncate.value_or(context_.options.truncate),
                        .side = options.side};
  size_t characters = 0;
  for (const TextInput& text : request.texts) characters += CountTeiCharacters(text);
  Call::Infer(call, std::move(request),
              [format = std::move(format), characters](Call& answered, InferenceResult result) {
                if (const auto* error = std::get_if<InferenceError>(&result)) {
                  return answered.Refuse(RefusalOf(*error));
                }
                const auto& inference = std::get<Inference>(result);
                auto body = format(inference);
                if (!body.ok()) return answered.Refuse({424, "Backend", body.error().message});
                Response response{.content_type = "application/json", .body = *std::move(body)};
                AddTimings(answered, inference, characters, response);
                answered.Respond(std::move(response));
              });
}

void TeiProtocol::Tokenize(Call& call) const {
  const ModelPointer model = TakeModel(call);
  if (!model) return;
  const auto parsed = ParseTeiTokenize(call.body(), context_.options.max_texts);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return call.Refuse(*refusal);
  call.Respond({.content_type = "application/json",
                .body = FormatTeiTokens(std::get<TeiTokenize>(parsed), model->tokenizer)});
}

void TeiProtocol::Decode(Call& call) const {
  const ModelPointer model = TakeModel(call);
  if (!model) return;
  const auto parsed = ParseTeiDecode(call.body(), context_.options.max_texts);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return call.Refuse(*refusal);
  call.Respond({.content_type = "application/json",
                .body = FormatTeiTexts(std::get<TeiDecode>(parsed), model->tokenizer)});
}

void TeiProtocol::Home(const CallPointer& call) const {
  if (context_.home_page && WantsHtml(call->head())) return context_.home_page(call);
  AnswerHealth(context_, *call);
}

}  // namespace bertie::serve
