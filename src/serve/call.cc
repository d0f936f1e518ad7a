#include "serve/call.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace bertie::serve {

http::Response FormRefusal(const ServeContext& context, const Protocol& protocol,
                           const http::Refusal& refusal, std::string_view request_id) {
  if (refusal.status == 401) {
    return {.status = 401, .fields = {{"WWW-Authenticate", "Bearer"}}};
  }
  http::Response response = protocol.Refuse(refusal, request_id);
  if (response.status == 500) {
    context.Log(std::string(refusal.type) + ": " + refusal.message + " (request " +
                std::string(request_id) + ")");
  }
  const bool later = response.status == 503 || response.status == 429;
  const bool told = std::any_of(
      response.fields.begin(), response.fields.end(),
      [](const http::Field& field) { return http::EqualsIgnoreCase(field.name, "Retry-After"); });
  if (later && !told) response.fields.push_back({"Retry-After", "1"});
  return response;
}

Call::Call(ServeContext& context, const Protocol& protocol, std::string_view route,
           PathParameters parameters, http::Request request,
           std::shared_ptr<http::Exchange> exchange, RequestFacts facts)
    : context_(context),
      protocol_(protocol),
      parameters_(std::move(parameters)),
      request_(std::move(request)),
      exchange_(std::move(exchange)),
      record_(context, route, std::move(facts)) {}

Call::~Call() {
  if (!answered_) Refuse({500, "InternalError", "the request met a fault of the server"});
}

void Call::Respond(http::Response response) {
  if (answered_.exchange(true)) return;
  const std::vector<http::Field>& fields = record_.facts().fields;
  response.fields.insert(response.fields.end(), fields.begin(), fields.end());
  const int status = response.status;
  record_.Count(status);
  exchange_->Respond(std::move(response));
  record_.Log(status);
}

void Call::Refuse(const http::Refusal& refusal) {
  if (!answered_) Respond(FormRefusal(context_, protocol_, refusal, request_id()));
}

void Call::Infer(const std::shared_ptr<Call>& call, InferenceRequest request,
                 std::function<void(Call&, InferenceResult)> done) {
  call->SetModel(request.model);
  request.deadline =
      std::min(request.deadline, call->begin() + call->context_.options.request_timeout);
  request.cancelled = call->cancelled();
  serve::Infer(std::move(request), [call, done = std::move(done)](InferenceResult result) {
    if (const auto* inference = std::get_if<Inference>(&result)) call->record_.AddTexts(*inference);
    done(*call, std::move(result));
  });
}

}  // namespace bertie::serve
