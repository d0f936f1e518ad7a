#include "serve/handlers.h"

#include <algorithm>
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

Response Handlers::Finish(std::string_view route, Response response, const RequestFacts& facts) {
  context_.metrics.CountRequest(route, response.status);
  response.fields.insert(response.fields.end(), facts.fields.begin(), facts.fields.end());
  if (context_.options.access_log) {
    context_.options.access_log({.method = facts.method,
                                 .route = route,
                                 .status = response.status,
                                 .request_id = facts.request_id,
                                 .trace_id = facts.trace_id});
  }
  return response;
}

Response Handlers::Refuse(const Place& place, const Refusal& refusal, const RequestFacts& facts) {
  return Finish(place.route, FormRefusal(context_, place.protocol, refusal, facts.request_id),
                facts);
}

Response Handlers::OnRefusal(const Refusal& refusal) {
  return Refuse({routes_.Owner(""), kOther}, refusal, NoFacts());
}

std::optional<Response> Handlers::OnHead(const RequestHead& head) {
  if (head.method == "OPTIONS") return std::nullopt;
  const RouteMatch match = routes_.Find(head.path);
  const auto refusal = Check(head, match);
  if (!refusal) return std::nullopt;
  const RequestFacts facts = ReadFacts(head, context_.options.cors_origins);
  if (!match.path) return Refuse({routes_.Owner(head.path), kOther}, *refusal, facts);
  Response response = Refuse({*match.path->protocol, match.path->pattern}, *refusal, facts);
  if (refusal->status == 405) response.fields.push_back({"Allow", match.path->Allow()});
  return response;
}

std::optional<Refusal> Handlers::Check(const RequestHead& head, const RouteMatch& match) const {
  const HandlerOptions& options = context_.options;
  if (!match.path) {
    return Refusal{404, "NotFound",
                   "no such path; this server has " + routes_.Describe(routes_.Owner(head.path))};
  }
  const Route* route = match.path->ForMethod(head.method);
  if (!route) {
    return Refusal{405, "MethodNotAllowed", match.path->pattern + " takes " + match.path->Allow()};
  }
  if (auto refusal = CheckAccess(options.keys, route->access, head)) return refusal;
  if (head.content_length > options.max_body_bytes) {
    return Refusal{413, "BodyTooLarge",
                   "the body has " + std::to_string(head.content_length) + " bytes; the limit is " +
                       std::to_string(options.max_body_bytes)};
  }
  return route->check ? route->check(head, match.parameters) : std::nullopt;
}

Response Handlers::Options(const RequestHead& head) {
  const RouteMatch match = routes_.Find(head.path);
  const std::string allow = match.path ? match.path->Allow() : "GET, HEAD, POST, OPTIONS";
  Response response{.status = 204, .fields = {{"Allow", allow}}};
  const RequestFacts facts = ReadFacts(head, context_.options.cors_origins);
  const bool crosses = std::any_of(facts.fields.begin(), facts.fields.end(), [](const auto& field) {
    return field.name == "Access-Control-Allow-Origin";
  });
  if (crosses && head.Find("Access-Control-Request-Method")) {
    AllowPreflight(head, allow, response);
  }
  return Finish(match.path ? std::string_view(match.path->pattern) : kOther, std::move(response),
                facts);
}

void Handlers::OnRequest(Request request, std::shared_ptr<http::Exchange> exchange) {
  if (request.head.method == "OPTIONS") return exchange->Respond(Options(request.head));
  RouteMatch match = routes_.Find(request.head.path);
  const PathRoutes& path = *match.path;  // OnHead has seen it
  const Route& route = *path.ForMethod(request.head.method);
  RequestFacts facts = ReadFacts(request.head, context_.options.cors_origins);
  auto call =
      std::make_shared<Call>(context_, *path.protocol, path.pattern, std::move(match.parameters),
                             std::move(request), std::move(exchange), std::move(facts));
  try {
    route.handle(call);
  } catch (const std::bad_alloc&) {
    call->Refuse({503, "OutOfMemory", "not enough memory for this request"});
  }
}

}  // namespace bertie::serve
