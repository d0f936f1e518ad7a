#include "serve/handlers.h"

#include <new>
#include <utility>

#include "serve/call.h"

namespace bertie::serve {
namespace {

using http::Refusal;
using http::Request;
using http::RequestHead;
using http::Response;

// The route of metrics for requests that are on none.
constexpr std::string_view kOther = "other";

}  // namespace

Response Handlers::Refuse(const Protocol& protocol, std::string_view route,
                          const Refusal& refusal) {
  Response response = FormRefusal(context_, protocol, refusal, {});
  context_.metrics.CountRequest(route, response.status);
  return response;
}

Response Handlers::OnRefusal(const Refusal& refusal) {
  return Refuse(routes_.Owner(""), kOther, refusal);
}

std::optional<Response> Handlers::OnHead(const RequestHead& head) {
  if (head.path == "*") return std::nullopt;
  const RouteMatch match = routes_.Find(head.path);
  if (!match.path) {
    const Protocol& owner = routes_.Owner(head.path);
    return Refuse(owner, kOther,
                  {404, "NotFound", "no such path; this server has " + routes_.Describe(owner)});
  }
  if (head.method == "OPTIONS") return std::nullopt;
  const PathRoutes& path = *match.path;
  const Route* route = path.ForMethod(head.method);
  if (!route) {
    const std::string allow = path.Allow();
    Response response = Refuse(*path.protocol, path.pattern,
                               {405, "MethodNotAllowed", path.pattern + " takes " + allow});
    response.fields.push_back({"Allow", allow});
    return response;
  }
  if (head.content_length > context_.options.max_body_bytes) {
    return Refuse(*path.protocol, path.pattern,
                  {413, "BodyTooLarge",
                   "the body has " + std::to_string(head.content_length) + " bytes; the limit is " +
                       std::to_string(context_.options.max_body_bytes)});
  }
  if (!route->check) return std::nullopt;
  const auto refusal = route->check(head, match.parameters);
  if (!refusal) return std::nullopt;
  return Refuse(*path.protocol, path.pattern, *refusal);
}

Response Handlers::Options(const RequestHead& head) {
  const RouteMatch match = routes_.Find(head.path);
  context_.metrics.CountRequest(match.path ? std::string_view(match.path->pattern) : kOther, 204);
  Response response{.status = 204};
  response.fields.push_back(
      {"Allow", match.path ? match.path->Allow() : "GET, HEAD, POST, OPTIONS"});
  return response;
}

void Handlers::OnRequest(Request request, std::shared_ptr<http::Exchange> exchange) {
  if (request.head.method == "OPTIONS") return exchange->Respond(Options(request.head));
  RouteMatch match = routes_.Find(request.head.path);
  const PathRoutes& path = *match.path;  // OnHead has seen it
  const Route& route = *path.ForMethod(request.head.method);
  auto call =
      std::make_shared<Call>(context_, *path.protocol, path.pattern, std::move(match.parameters),
                             std::move(request), std::move(exchange));
  try {
    route.handle(call);
  } catch (const std::bad_alloc&) {
    call->Refuse({503, "OutOfMemory", "not enough memory for this request"});
  }
}

}  // namespace bertie::serve
