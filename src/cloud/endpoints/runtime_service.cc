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
  Choice choice = {};
  std::shared_ptr<const Target> failed = {};  // kept, so that no other target gets its address
  bool last = false;                          // no other server is asked any more
};

http::Response RuntimeService::Deny(const http::RequestHead&, const AuthError& error,
                                    const std::string&) {
  return RuntimeError(403, JsonAuthCode(error.fault), error.message);
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
    return it.exchange->Respond(RouteError(it.choice.fault, it.names, it.wanted_variant));
  }
  it.names.variant = it.choice.lease->variant();
  http::PoolRequest request{.port = it.choice.port,
                            .target = "/invocations",
                            .fields = FieldsForServer(it.call.request.head),
                            .body = it.call.request.body,
                            .timeout = kTimeLimit,
                            .cancelled = it.call.cancelled};
  servers_.Send(std::move(request), [this, invocation](Result<http::ClientAnswer> answer) mutable {
    Invocation& asked = *invocation;
    const bool again =
        !answer.ok() && MayAskAnother(answer.error()) && !std::exchange(asked.last, true);
    if (again) {
      asked.failed = asked.choice.lease->target();
      asked.choice.lease.reset();
      return Ask(std::move(invocation));
    }
    asked.exchange->Respond(InvocationAnswer(std::move(answer), asked.names));
    asked.choice.lease.reset();
  });
}

}  // namespace bertie::cloud
