#include "cloud/endpoints/runtime_service.h"

#include <utility>

#include "cloud/endpoints/invocation.h"
#include "cloud/json_service.h"

namespace bertie::cloud {
namespace {

constexpr std::chrono::seconds kTimeLimit{60};

bool IsAsync(const http::RequestHead& head) { return head.path.ends_with("/async-invocations"); }

}  // namespace

// One request, until it is answered.
struct RuntimeService::Invocation {
  Call call;
  std::shared_ptr<http::Exchange> exchange;
  std::shared_ptr<Endpoint> endpoint;
  InvocationNames names;
  std::string wanted_variant = {};
  std::string model = {};  // TargetModel
  Choice choice = {};
  std::shared_ptr<const Target> failed = {};  // kept, so that no other target gets its address
  bool last = false;                          // no other server is asked any more
  EndpointMetrics::Clock::time_point begin = EndpointMetrics::Clock::now();
  EndpointMetrics::Clock::time_point asked = begin;  // when the first server was
};

http::Response RuntimeService::Deny(const http::RequestHead&, const AuthError& error,
                                    const std::string&) {
  return RuntimeError(403, JsonAuthCode(error.fault), error.message);
}

http::Response RuntimeService::Reject(const http::Refusal& refusal, const std::string&) {
  return RuntimeError(refusal.status, refusal.type, refusal.message);
}

std::optional<http::Response> RuntimeService::Refuse(const http::RequestHead& head) {
  return IsAsync(head) ? async_->Refuse(head) : CheckInvocation(head);
}

void RuntimeService::Handle(Call call, std::shared_ptr<http::Exchange> exchange) {
  if (IsAsync(call.request.head)) return async_->Handle(std::move(call), std::move(exchange));
  auto invocation =
      std::make_shared<Invocation>(Invocation{.call = std::move(call),
                                              .exchange = std::move(exchange),
                                              .endpoint = nullptr,
                                              .names = {.settings = settings_, .endpoint = {}}});
  const http::RequestHead& head = invocation->call.request.head;
  if (invocation->call.request.body.size() > kMaxInvocationBody) {
    http::RequestHead measured = head;  // one that came in chunks
    measured.content_length = invocation->call.request.body.size();
    return invocation->exchange->Respond(*CheckInvocation(measured));
  }
  invocation->names.endpoint = EndpointInPath(head.path);
  invocation->endpoint = endpoints_.Find(invocation->names.endpoint);
  if (const std::string* wanted = head.Find("X-Amzn-SageMaker-Target-Variant")) {
    invocation->wanted_variant = *wanted;
  }
  if (const std::string* model = head.Find("X-Amzn-SageMaker-Target-Model")) {
    invocation->model = *model;
  }
  Ask(std::move(invocation));
}

void RuntimeService::Ask(std::shared_ptr<Invocation> invocation) {
  Invocation& it = *invocation;
  const auto plan = it.endpoint ? it.endpoint->plan() : nullptr;
  if (plan && plan->async) {
    return it.exchange->Respond(
        RuntimeError(400, "ValidationError",
                     "Endpoint " + it.names.endpoint +
                         " is for asynchronous inference: use InvokeEndpointAsync."));
  }
  it.choice = it.endpoint ? it.endpoint->routes().Choose(it.wanted_variant, it.failed.get())
                          : Choice{.fault = RouteFault::kNoRoutes};
  if (it.choice.fault != RouteFault::kNone) {
    return Answer(it, RouteError(it.choice.fault, it.names, it.wanted_variant));
  }
  it.names.variant = it.choice.lease->variant();
  if (!it.last) it.asked = EndpointMetrics::Clock::now();
  const bool multi_model = it.choice.lease->target()->models != nullptr;
  if (auto refused = CheckTargetModel(multi_model, it.model)) {
    return Answer(it, *std::move(refused));
  }
  return multi_model ? LoadThenSend(invocation) : Send(invocation, "/invocations");
}

void RuntimeService::LoadThenSend(const std::shared_ptr<Invocation>& invocation) {
  Invocation& it = *invocation;
  loader_.Load(it.choice.lease->target(), it.choice.port, it.model,
               [this, invocation](LoadAnswer answer) {
                 if (answer.kind == LoadAnswer::Kind::kReady) {
                   const std::string name = ModelLoader::NameFor(invocation->model);
                   return Send(invocation, "/models/" + name + "/invoke");
                 }
                 Answer(*invocation, LoadRefusal(std::move(answer), invocation->names));
               });
}

void RuntimeService::Send(const std::shared_ptr<Invocation>& invocation,
                          const std::string& target) {
  http::PoolRequest request{.port = invocation->choice.port,
                            .target = target,
                            .fields = FieldsForServer(invocation->call.request.head),
                            .body = invocation->call.request.body,
                            .timeout = kTimeLimit,
                            .cancelled = invocation->call.cancelled};
  servers_.Send(std::move(request), [this, invocation](Result<http::ClientAnswer> answer) {
    if (AskAgain(*invocation, answer)) return Ask(invocation);
    Answer(*invocation, InvocationAnswer(std::move(answer), invocation->names));
    invocation->choice.lease.reset();
  });
}

// Once, where no server has taken the request: one that did not answer is avoided, one that has not
// got the model any more loads it.
bool RuntimeService::AskAgain(Invocation& it, const Result<http::ClientAnswer>& answer) {
  const bool unloaded = answer.ok() && !it.model.empty() && IsUnknownModel(*answer);
  const bool again = unloaded || (!answer.ok() && MayAskAnother(answer.error()));
  if (!again || std::exchange(it.last, true)) return false;
  if (unloaded) {
    ModelLoader::Forget(*it.choice.lease->target(), it.model);
  } else {
    it.failed = it.choice.lease->target();
  }
  it.choice.lease.reset();
  return true;
}

// Counted where a variant was asked.
void RuntimeService::Answer(const Invocation& invocation, http::Response response) {
  if (!invocation.names.variant.empty()) {
    const auto now = EndpointMetrics::Clock::now();
    metrics_.Record({.endpoint = invocation.names.endpoint,
                     .variant = invocation.names.variant,
                     .status = response.status,
                     .model = now - invocation.asked,
                     .total = now - invocation.begin});
  }
  invocation.exchange->Respond(std::move(response));
}

}  // namespace bertie::cloud
