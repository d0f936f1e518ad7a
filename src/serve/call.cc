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
      route_(route),
      parameters_(std::move(parameters)),
      request_(std::move(request)),
      exchange_(std::move(exchange)),
      facts_(std::move(facts)) {}

Call::~Call() {
  if (!answered_) Refuse({500, "InternalError", "the request met a fault of the server"});
}

void Call::Respond(http::Response response) {
  if (answered_.exchange(true)) return;
  response.fields.insert(response.fields.end(), facts_.fields.begin(), facts_.fields.end());
  const int status = response.status;
  const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  if (!model_) {
    context_.metrics.CountRequest(route_, status);
  } else {
    model_->metrics->CountRequest(route_, status,
                                  status == 200 ? std::optional(seconds) : std::nullopt);
  }
  exchange_->Respond(std::move(response));
  if (!context_.options.access_log) return;
  AccessRecord record{.method = facts_.method, .route = route_, .status = status};
  record.seconds = seconds;
  if (model_) record.model = model_->id.name, record.version = model_->id.version;
  record.texts = texts_;
  record.tokens = tokens_;
  record.request_id = facts_.request_id;
  record.trace_id = facts_.trace_id;
  context_.options.access_log(record);
}

void Call::Refuse(const http::Refusal& refusal) {
  if (!answered_) Respond(FormRefusal(context_, protocol_, refusal, facts_.request_id));
}

void Call::Infer(const std::shared_ptr<Call>& call, InferenceRequest request,
                 std::function<void(Call&, InferenceResult)> done) {
  call->model_ = request.model;
  request.deadline =
      std::min(request.deadline, call->begin_ + call->context_.options.request_timeout);
  request.cancelled = call->cancelled();
  serve::Infer(std::move(request), [call, done = std::move(done)](InferenceResult result) {
    if (const auto* inference = std::get_if<Inference>(&result)) {
      call->texts_ += inference->texts.size();
      for (const TextTokens& text : inference->texts) call->tokens_ += text.tokens;
    }
    done(*call, std::move(result));
  });
}

}  // namespace bertie::serve
