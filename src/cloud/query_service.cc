#include "cloud/query_service.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "cloud/failure.h"
#include "cloud/times.h"

namespace bertie::cloud {
namespace {

constexpr char kRoleId[] = "AROALOCAL0000000000A";
constexpr Milliseconds kRoleCreated = 1'577'836'800'000;  // 2020-01-01

const char* QueryAuthCode(AuthFault fault) {
  switch (fault) {
    case AuthFault::kMissing:
      return "MissingAuthenticationToken";
    case AuthFault::kIncomplete:
      return "IncompleteSignature";
    case AuthFault::kUnknownKey:
    case AuthFault::kInvalidToken:
      return "InvalidClientTokenId";
    case AuthFault::kExpiredToken:
      return "ExpiredToken";
    default:
      return "SignatureDoesNotMatch";
  }
}

int StatusOf(std::string_view code) {
  if (code == "NoSuchEntity") return 404;
  for (const char* known : {"MissingAuthenticationToken", "InvalidClientTokenId", "ExpiredToken",
                            "SignatureDoesNotMatch", "AccessDenied"}) {
    if (code == known) return 403;
  }
  return 400;
}

}  // namespace

http::Response QueryService::ErrorAnswer(int status, const std::string& code,
                                         const std::string& message,
                                         const std::string& request_id) const {
  XmlWriter xml;
  xml.Open("ErrorResponse", xmlns_)
      .Open("Error")
      .Text("Type", "Sender")
      .Text("Code", code)
      .Text("Message", message)
      .Close()
      .Text("RequestId", request_id);
  return {.status = status, .content_type = "text/xml", .body = xml.Finish()};
}

http::Response QueryService::ErrorAnswer(const Failure& failure,
                                         const std::string& request_id) const {
  return ErrorAnswer(StatusOf(failure.code), failure.code, failure.message, request_id);
}

http::Response QueryService::Reject(const http::Refusal& refusal, const std::string& request_id) {
  return ErrorAnswer(refusal.status, refusal.type, refusal.message, request_id);
}

http::Response QueryService::Deny(const http::RequestHead&, const AuthError& error,
                                  const std::string& request_id) {
  return ErrorAnswer(Failure(QueryAuthCode(error.fault), error.message), request_id);
}

void QueryService::Handle(Call call, std::shared_ptr<http::Exchange> exchange) {
  const http::Request& request = call.request;
  const auto form = Query::Parse(request.head.method == "GET" ? request.head.query : request.body);
  const std::string action = form ? form->Get("Action") : std::string();
  if (action.empty()) {
    return exchange->Respond(
        ErrorAnswer(Failure("MissingAction", "the request names no Action"), call.request_id));
  }
  XmlWriter xml;
  const bool plain = std::all_of(action.begin(), action.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  });
  xml.Open(plain ? action + "Response" : "Response", xmlns_);
  xml.Open(plain ? action + "Result" : "Result");
  auto done = Act(action, *form, call.caller, xml);
  if (!done.ok()) return exchange->Respond(ErrorAnswer(done.error(), call.request_id));
  xml.Close().Open("ResponseMetadata").Text("RequestId", call.request_id);
  exchange->Respond({.content_type = "text/xml", .body = xml.Finish()});
}

StsService::StsService(const Settings& settings, const Verifier& verifier)
    : QueryService("https://sts.amazonaws.com/doc/2011-06-15/"),
      settings_(settings),
      verifier_(verifier) {}

std::string StsService::SessionArn(const std::string& session) const {
  return "arn:aws:sts::" + settings_.account + ":assumed-role/" + settings_.role + "/" + session;
}

Done StsService::Act(const std::string& action, const Query& form, const Caller& caller,
                     XmlWriter& result) {
  if (action == "GetCallerIdentity") {
    // A role and not a user: SageMaker's SDK takes the role it works under from here.
    result.Text("Arn", SessionArn(caller.session_name))
        .Text("UserId", std::string(kRoleId) + ":" + caller.session_name)
        .Text("Account", settings_.account);
    return std::monostate();
  }
  if (action == "AssumeRole") return AssumeRole(form, result);
  return Failure("InvalidAction", "Could not find operation " + action + " for version 2011-06-15");
}

Done StsService::AssumeRole(const Query& form, XmlWriter& result) const {
  const std::string arn = form.Get("RoleArn");
  const std::string session = form.Get("RoleSessionName");
  const std::string duration = form.Has("DurationSeconds") ? form.Get("DurationSeconds") : "3600";
  const bool named = session.size() >= 2 && session.size() <= 64 &&
                     session.find_first_not_of(
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxy"
                         "z0123456789_=,.@-") == std::string::npos;
  if (!named) {
    return Failure("ValidationError",
                   "1 validation error detected: Value at 'roleSessionName' failed to satisfy "
                   "constraint: 2 to 64 characters of [A-Za-z0-9_+=,.@-]");
  }
  const bool number = !duration.empty() && duration.size() <= 6 &&
                      duration.find_first_not_of("0123456789") == std::string::npos;
  const int64_t seconds = number ? std::stoll(duration) : 0;
  if (seconds < 900 || seconds > 43'200) {
    return Failure("ValidationError",
                   "1 validation error detected: Value '" + duration +
                       "' at 'durationSeconds' failed to satisfy constraint: 900 to 43200");
  }
  const std::string prefix = "arn:aws:iam::" + settings_.account + ":role/";
  const std::string name = arn.substr(std::min(arn.rfind('/') + 1, arn.size()));
  if (!arn.starts_with(prefix) || name != settings_.role) {
    return Failure("AccessDenied",
                   "the only role to assume here is " + settings_.RoleArn() + ", not " + arn);
  }
  const Milliseconds expires = Now() + seconds * 1000;
  const Credentials credentials = verifier_.IssueSession(session, expires);
  result.Open("Credentials")
      .Text("AccessKeyId", credentials.access_key)
      .Text("SecretAccessKey", credentials.secret_key)
      .Text("SessionToken", credentials.session_token)
      .Text("Expiration", IsoTimeSeconds(expires))
      .Close();
  result.Open("AssumedRoleUser")
      .Text("AssumedRoleId", std::string(kRoleId) + ":" + session)
      .Text("Arn", SessionArn(session))
      .Close();
  return std::monostate();
}

IamService::IamService(const Settings& settings)
    : QueryService("https://iam.amazonaws.com/doc/2010-05-08/"), settings_(settings) {}

void IamService::WriteRole(const std::string& element, XmlWriter& result) const {
  const std::string trust = R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":)"
                            R"({"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]})";
  result.Open(element)
      .Text("Path", "/service-role/")
      .Text("RoleName", settings_.role)
      .Text("RoleId", kRoleId)
      .Text("Arn", "arn:aws:iam::" + settings_.account + ":role/service-role/" + settings_.role)
      .Text("CreateDate", IsoTimeSeconds(kRoleCreated))
      .Text("AssumeRolePolicyDocument", PercentEncode(trust))
      .Text("MaxSessionDuration", "43200")
      .Close();
}

Done IamService::Act(const std::string& action, const Query& form, const Caller&,
                     XmlWriter& result) {
  if (action == "GetRole") {
    const std::string name = form.Get("RoleName");
    if (name != settings_.role) {
      return Failure("NoSuchEntity", "The role with name " + name + " cannot be found.");
    }
    WriteRole("Role", result);
    return std::monostate();
  }
  if (action == "ListRoles") {
    result.Open("Roles");
    WriteRole("member", result);
    result.Close().Text("IsTruncated", "false");
    return std::monostate();
  }
  return Failure("InvalidAction", "Could not find operation " + action + " for version 2010-05-08");
}

}  // namespace bertie::cloud
