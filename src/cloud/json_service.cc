#include "cloud/json_service.h"

#include <string_view>
#include <utility>

#include "formats/json.h"

namespace bertie::cloud {
namespace {

http::Response JsonError(const Failure& failure) {
  const formats::Json body{{"__type", failure.code}, {"message", failure.message}};
  return {.status = std::string_view(failure.code) == "InternalError" ? 500 : 400,
          .content_type = "application/x-amz-json-1.1",
          .body = formats::DumpJson(body)};
}

}  // namespace

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

}  // namespace bertie::cloud
