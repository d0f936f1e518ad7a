#include "serve/protocols/sagemaker.h"

#include <cstdio>
#include <string>
#include <utility>
#include <variant>

#include "serve/answer.h"
#include "serve/call.h"
#include "serve/negotiation.h"
#include "serve/openapi/operations.h"
#include "serve/refusal.h"

namespace bertie::serve {
namespace {

using http::Refusal;
using http::RequestHead;
using http::Response;

std::string_view TargetModel(const RequestHead& head) {
  const std::string* target = head.Find("X-Amzn-SageMaker-Target-Model");
  return target ? std::string_view(*target) : std::string_view();
}

// Where in the request a text stands.
std::string TextPath(const Invocation& invocation, size_t index) {
  bool list = invocation.container == Invocation::Container::kList;
  std::string item = list ? "[" + std::to_string(index) + "]" : "";
  switch (invocation.form) {
    case AnswerForm::kScores:
      return "inputs" + item;
    case AnswerForm::kPredictions:
      return "instances" + item;
    case AnswerForm::kLogits:
      break;
  }
  return list ? item : "the text";
}

// https://www.w3.org/TR/server-timing/: milliseconds.
std::string ServerTiming(const PhaseTimes& times) {
  char text[128];
  std::snprintf(text, sizeof(text), "tokenize;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f",
                times.tokenize * 1000, times.queue * 1000, times.compute * 1000);
  return text;
}

// invocation without its texts.
void Answer(Call& call, const Invocation& invocation, MediaType type, InferenceResult result) {
  if (const auto* error = std::get_if<InferenceError>(&result)) {
    return call.Refuse(ToRefusal(*error, TextPath(invocation, error->text)));
  }
  const auto& inference = std::get<Inference>(result);
  auto body = FormatAnswer(invocation, inference.logits, inference.model->scheme, type);
  if (!body.ok()) return call.Refuse({500, "InferenceFailed", body.error().message});
  Response response;
  response.content_type = MediaTypeName(type);
  response.body = *std::move(body);
  response.fields.push_back({"Server-Timing", ServerTiming(inference.times)});
  AddReadingFields(inference, response.fields);
  call.Respond(std::move(response));
}

}  // namespace

std::vector<Route> SageMakerProtocol::Routes() {
  return {
      {.pattern = "/ping",
       .method = "GET",
       .handle = [this](const std::shared_ptr<Call>& call) { AnswerHealth(context_, *call); },
       .access = Access::kOpen,
       .describe = DescribeHealth},
      {.pattern = "/invocations",
       .method = "POST",
       .handle =
           [this](const std::shared_ptr<Call>& call) { Invoke(call, TargetModel(call->head())); },
       .check = [this](const RequestHead& head,
                       const PathParameters&) { return CheckInvocation(head, TargetModel(head)); },
       .describe = DescribeInvocations}};
}

Response SageMakerProtocol::Refuse(const Refusal& refusal, std::string_view request_id) const {
  return OwnRefusal(refusal, request_id);
}

std::optional<Refusal> SageMakerProtocol::CheckInvocation(const RequestHead& head,
                                                          std::string_view name) const {
  auto type = RequestType(head);
  if (auto* refusal = std::get_if<Refusal>(&type)) return std::move(*refusal);
  auto answer = AnswerType(head, context_.options.default_answer);
  if (auto* refusal = std::get_if<Refusal>(&answer)) return std::move(*refusal);
  auto model = context_.FindModel(name);
  if (auto* refusal = std::get_if<Refusal>(&model)) return std::move(*refusal);
  return std::nullopt;
}

void SageMakerProtocol::Invoke(const std::shared_ptr<Call>& call, std::string_view name) const {
  // Found anew: the model may have gone since the head came.
  auto found = context_.FindModel(name);
  if (auto* refusal = std::get_if<Refusal>(&found)) return call->Refuse(*refusal);
  const ModelPointer& model = std::get<ModelPointer>(found);
  call->SetModel(model);
  const HandlerOptions& options = context_.options;
  auto parsed = ParseInvocation(std::exchange(call->body(), {}),
                                std::get<MediaType>(RequestType(call->head())),
                                {.max_texts = options.max_texts, .max_length = model->max_length});
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return call->Refuse(*refusal);
  auto& invocation = std::get<Invocation>(parsed);

  InferenceRequest request{.model = model, .texts = std::exchange(invocation.texts, {})};
  request.truncation = {.long_texts = options.long_texts.With(invocation.parameters.truncation),
                        .max_length = invocation.parameters.max_length.value_or(0)};
  const auto type = std::get<MediaType>(AnswerType(call->head(), options.default_answer));
  Call::Infer(call, std::move(request),
              [invocation = std::move(invocation), type](Call& answered, InferenceResult result) {
                Answer(answered, invocation, type, std::move(result));
              });
}

}  // namespace bertie::serve
