#include "serve/call.h"

#include <algorithm>
#include <utility>

namespace bertie::serve {

http::Response FormRefusal(const ServeContext& context, const Protocol& protocol,
                           const http::Refusal& refusal, std::string_view request_id) {
  http::Response response = protocol.Refuse(refusal, request_id);
  if (response.status == 500) context.Log(std::string(refusal.type) + ": " + refusal.message);
  const bool later = response.status == 503 || response.status == 429;
  const bool told = std::any_of(
      response.fields.begin(), response.fields.end(),
      [](const http::Field& field) { return http::EqualsIgnoreCase(field.name, "Retry-After"); });
  if (later && !told) response.fields.push_back({"Retry-After", "1"});
  return response;
}

Call::Call(ServeContext& context, const Protocol& protocol, std::string_view route,
           PathParameters parameters, http::Request request,
           std::shared_ptr<http::Exchange> exchange)
    : context_(context),
      protocol_(protocol),
      route_(route),
      parameters_(std::move(parameters)),
      request_(std::move(request)),
      exchange_(std::move(exchange)) {}

Call::~Call() {
  if (!answered_) Refuse({500, "InternalError", "the request met a fault of the server"});
}

void Call::Respond(http::Response response) {
  if (answered_.exchange(true)) return;
  if (!model_) {
    context_.metrics.CountRequest(route_, response.status);
  } else {
    model_->metrics->CountRequest(route_, response.status);
    if (response.status == 200) {
      model_->metrics->ObserveAnswer(route_,
                                     std::chrono::duration<double>(Clock::now() - begin_).count());
    }
  }
  exchange_->Respond(std::move(response));
}

void Call::Refuse(const http::Refusal& refusal) {
  if (!answered_) Respond(FormRefusal(context_, protocol_, refusal, {}));
}

void Call::Infer(const std::shared_ptr<Call>& call, InferenceRequest request,
                 std::function<void(Call&, InferenceResult)> done) {
  call->model_ = request.model;
  request.deadline = call->begin_ + call->context_.options.request_timeout;
  request.cancelled = call->cancelled();
  serve::Infer(std::move(request), [call, done = std::move(done)](InferenceResult result) {
    done(*call, std::move(result));
  });
}

}  // namespace bertie::serve
