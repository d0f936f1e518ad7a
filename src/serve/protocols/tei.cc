#include "serve/protocols/tei.h"

#include <string>
#include <utility>
#include <variant>

#include "base/ascii.h"
#include "serve/call.h"
#include "serve/openapi/operations.h"
#include "serve/refusal.h"
#include "serve/tei/tei_answer.h"
#include "serve/tei/tei_info.h"
#include "serve/tei/tei_tokens.h"

namespace bertie::serve {
namespace {

using formats::Json;
using http::Refusal;
using http::RequestHead;
using http::Response;

bool WantsHtml(const RequestHead& head) {
  const std::string* accept = head.Find("Accept");
  return accept && AsciiLower(*accept).find("text/html") != std::string::npos;
}

}  // namespace

std::vector<Route> TeiProtocol::Routes() {
  const auto predict = [this](const CallPointer& call) { Predict(call); };
  const auto info = [this](const CallPointer& call) {
    const ModelPointer model = TakeTeiModel(context_, *call);
    if (!model) return;
    call->Respond(
        {.content_type = "application/json", .body = formats::DumpJson(TeiInfo(context_, *model))});
  };
  return {
      TeiRoute("/predict", predict, DescribeTeiPredict),
      TeiRoute("/", predict, DescribeTeiPredict),
      TeiRoute(
          "/rerank", [this](const CallPointer& call) { Rerank(call); }, DescribeTeiRerank),
      TeiRoute(
          "/tokenize", [this](const CallPointer& call) { Tokenize(*call); }, DescribeTeiTokenize),
      TeiRoute(
          "/decode", [this](const CallPointer& call) { Decode(*call); }, DescribeTeiDecode),
      {.pattern = "/info", .method = "GET", .handle = info, .describe = DescribeTeiInfo},
      {.pattern = "/",
       .method = "GET",
       .handle = [this](const CallPointer& call) { Home(call); },
       .access = Access::kOpen,
       .describe = DescribeHealth}};
}

Response TeiProtocol::Refuse(const Refusal& refusal, std::string_view) const {
  return TeiRefusal(refusal);
}

Json TeiProtocol::DescribeRefusal() const { return TeiRefusalContent(); }

void TeiProtocol::Predict(const CallPointer& call) const {
  const ModelPointer model = TakeTeiModel(context_, *call);
  if (!model) return;
  auto parsed = ParseTeiPredict(std::exchange(call->body(), {}), context_.options.max_texts);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return call->Refuse(*refusal);
  auto& request = std::get<TeiPredict>(parsed);
  InferenceRequest inference{.model = model, .texts = std::exchange(request.texts, {})};
  inference.truncation = TeiTruncation(context_, request);
  InferTei(call, std::move(inference),
           {.format = [request = std::move(request)](const Inference& result) {
             return FormatTeiPredictions(request, result.logits, result.model->scheme);
           }});
}

void TeiProtocol::Rerank(const CallPointer& call) const {
  const ModelPointer model = TakeTeiModel(context_, *call);
  if (!model) return;
  auto parsed = ParseTeiRerank(std::exchange(call->body(), {}), context_.options.max_texts);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return call->Refuse(*refusal);
  if (model->scheme.labels.size() != 1) {
    return call->Refuse(NoReranker());
  }
  auto& request = std::get<TeiRerank>(parsed);
  InferenceRequest inference{.model = model};
  for (const std::string& text : request.texts) inference.texts.push_back({request.query, text});
  inference.truncation = TeiTruncation(context_, request);
  InferTei(call, std::move(inference),
           {.format = [request = std::move(request)](const Inference& result) {
             return FormatTeiRanks(request, result.logits, result.model->scheme);
           }});
}

void TeiProtocol::Tokenize(Call& call) const {
  const ModelPointer model = TakeTeiModel(context_, call);
  if (!model) return;
  const auto parsed = ParseTeiTokenize(call.body(), context_.options.max_texts);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return call.Refuse(*refusal);
  call.Respond({.content_type = "application/json",
                .body = FormatTeiTokens(std::get<TeiTokenize>(parsed), model->tokenizer)});
}

void TeiProtocol::Decode(Call& call) const {
  const ModelPointer model = TakeTeiModel(context_, call);
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
