#include "cloud/json_service.h"

#include <string_view>
#include <utility>

#include "formats/json.h"

namespace bertie::cloud {
namespace {

const char* JsonAuthCode(AuthFault fault) {
  switch (fault) {
    case AuthFault::kMissing:
      return "MissingAuthenticationTokenException";
    case AuthFault::kIncomplete:
      return "IncompleteSignatureException";
    case AuthFault::kUnknownKey:
    case AuthFault::kInvalidToken:
      return "UnrecognizedClientException";
    case AuthFault::kExpiredToken:
      return "ExpiredTokenException";
    default:
      return "InvalidSignatureException";
  }
}

http::Response JsonError(const Failure& failure) {
  const formats::Json body{{"__type", failure.code}, {"message", failure.message}};
  return {.status = std::string_view(failure.code) == "InternalError" ? 500 : 400,
          .content_type = "application/x-amz-json-1.1",
          .body = formats::DumpJson(body)};
}

http::Response RuntimeError(const char* code, const std::string& message) {
  const formats::Json body{{"Message", message}};
  return {.status = 400,
          .content_type = "application/json",
          .fields = {{"x-amzn-ErrorType", code}},
          .body = formats::DumpJson(body)};
}

}  // namespace

http::Response JsonService::Deny(const http::RequestHead&, const AuthError& error,
                                 const std::string&) {
  return JsonError(Failure(JsonAuthCode(error.fault), error.message));
}

void JsonService::Handle(Call call, std::shared_ptr<http::Exchange> exchange) {
  const std::string* target = call.request.head.Find("X-Amz-Target");
  const std::string name =
      target == nullptr ? std::string() : target->substr(target->rfind('.') + 1);
  const auto found = operations_.find(name);
  if (found == operations_.end()) {
    return exchange->Respond(JsonError(Failure(
        "UnknownOperationException",
        "bertie cloud does not offer the operation " + (name.empty() ? "without a name" : name))));
  }
  auto answer = found->second(call.request.body, call.caller);
  if (!answer.ok()) return exchange->Respond(JsonError(answer.error()));
  exchange->Respond({.content_type = "application/x-amz-json-1.1", .body = *std::move(answer)});
}

http::Response RuntimeService::Deny(const http::RequestHead&, const AuthError& error,
                                    const std::string&) {
  http::Response response = RuntimeError(JsonAuthCode(error.fault), error.message);
  response.status = 403;
  return response;
}

void RuntimeService::Handle(Call call, std::shared_ptr<http::Exchange> exchange) {
  std::string name = call.request.head.path.substr(std::string_view("/endpoints/").size());
  name.resize(std::min(name.find('/'), name.size()));
  exchange->Respond(RuntimeError(
      "ValidationError", "Endpoint " + name + " of account " + settings_.account + " not found."));
}

}  // namespace bertie::cloud
