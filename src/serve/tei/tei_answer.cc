#include "serve/tei/tei_answer.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/ascii.h"
#include "base/elapsed.h"
#include "formats/json.h"

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

std::string InMilliseconds(double seconds) {
  return std::to_string(static_cast<int64_t>(seconds * 1000));
}

// characters: of all texts.
void AddTimings(const Call& call, const Inference& inference, size_t characters,
                Response& response) {
  const std::string total = InMilliseconds(SecondsSince(call.begin()));
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
  AddReadingFields(inference, response.fields);
}

// In TEI's words where it has some.
Refusal RefusalOf(const InferenceError& error, const TeiAnswer& answer) {
  const std::string where = answer.where ? answer.where(error.text) : "";
  if (error.kind == InferenceError::Kind::kTextTooLong) {
    return {413, "TextTooLong",
            where + "`inputs` must have less than " + std::to_string(error.limit) +
                " tokens. Given: " + std::to_string(error.found)};
  }
  return ToRefusal(error, where + "`inputs`");
}

}  // namespace

Response TeiRefusal(const Refusal& refusal) {
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

std::optional<Refusal> CheckTeiContentType(const RequestHead& head, const PathParameters&) {
  const std::string* type = head.Find("Content-Type");
  const std::string name = AsciiLower(type ? type->substr(0, type->find(';')) : "");
  if (name == "application/json" || (name.starts_with("application/") && name.ends_with("+json"))) {
    return std::nullopt;
  }
  return Refusal{415, "PlainText", "Expected request with `Content-Type: application/json`"};
}

ModelPointer TakeTeiModel(const ServeContext& context, Call& call) {
  auto found = context.FindModel();
  if (const auto* refusal = std::get_if<Refusal>(&found)) {
    call.Refuse(*refusal);
    return nullptr;
  }
  call.SetModel(std::get<ModelPointer>(found));
  return std::get<ModelPointer>(std::move(found));
}

Truncation TeiTruncation(const ServeContext& context, const TeiPredict& request) {
  const TeiOptions& options = request.options;
  return {.long_texts = context.options.long_texts.With(options.truncate), .side = options.side};
}

Truncation TeiTruncation(const ServeContext& context, const TeiRerank& request) {
  LongTextOptions long_texts = context.options.long_texts;
  if (long_texts.mode == LongTexts::kWindows) long_texts.mode = LongTexts::kCut;
  return {.long_texts = long_texts.With(request.options.truncate), .side = request.options.side};
}

void InferTei(const std::shared_ptr<Call>& call, InferenceRequest request, TeiAnswer answer) {
  size_t characters = 0;
  for (const TextInput& text : request.texts) characters += CountTeiCharacters(text);
  Call::Infer(call, std::move(request),
              [answer = std::move(answer), characters](Call& answered, InferenceResult result) {
                if (const auto* error = std::get_if<InferenceError>(&result)) {
                  return answered.Refuse(RefusalOf(*error, answer));
                }
                const auto& inference = std::get<Inference>(result);
                auto body = answer.format(inference);
                if (!body.ok()) return answered.Refuse({424, "Backend", body.error().message});
                Response response{.content_type = "application/json", .body = *std::move(body)};
                AddTimings(answered, inference, characters, response);
                answered.Respond(std::move(response));
              });
}

}  // namespace bertie::serve
