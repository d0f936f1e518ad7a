#include "cloud/json_service.h"

#include <string_view>
#include <utility>

namespace bertie::cloud {

using formats::Json;

namespace {

constexpr Milliseconds kRepeatTime = 60'000;

http::Response JsonError(int status, const std::string& code, const std::string& message) {
  const Json body{{"__type", code}, {"message", message}};
  return {.status = status,
          .content_type = "application/x-amz-json-1.1",
          .body = formats::DumpJson(body)};
}

http::Response JsonError(const Failure& failure) {
  const bool ours = std::string_view(failure.code) == "InternalError";
  return JsonError(ours ? 500 : 400, failure.code, failure.message);
}

}  // namespace

Outcome<Json> ParseRequest(const std::string& body) {
  auto parsed =
      formats::ParseJson(body.empty() ? "{}" : body, "the request", {.max_bytes = body.size() + 3});
  if (!parsed.ok()) return Failure("SerializationException", parsed.error().message);
  if (!parsed->is_object()) {
    return Failure("SerializationException",
                   std::string("expected an object, found ") + formats::JsonTypeName(*parsed));
  }
  return *std::move(parsed);
}

bool IsRepeat(const std::string& first_request, Milliseconds first_time,
              const std::string& request) {
  return first_request == request && Now() - first_time < kRepeatTime;
}

JsonService::Operation ParsedOperation(
    std::function<Outcome<Json>(const Json&, const std::string&)> operation) {
  return [operation = std::move(operation)](const std::string& body,
                                            const Caller&) -> Outcome<std::string> {
    auto request = ParseRequest(body);
    if (!request.ok()) return request.error();
    auto answer = operation(*request, body);
    if (!answer.ok()) return answer.error();
    return formats::DumpJson(*answer);
  };
}

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

http::Response JsonService::Reject(const http::Refusal& refusal, const std::string&) {
  return JsonError(refusal.status, refusal.type, refusal.message);
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
