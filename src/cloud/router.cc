#include "cloud/router.h"

#include <cstdio>
#include <utility>
#include <variant>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/hmac.h"
#include "cloud/uri.h"

namespace bertie::cloud {
namespace {

std::optional<ServiceName> ByScope(const std::string& service, const http::RequestHead& head) {
  if (service == "s3") return ServiceName::kS3;
  if (service == "sts") return ServiceName::kSts;
  if (service == "iam") return ServiceName::kIam;
  if (service == "logs") return ServiceName::kLogs;
  if (service == "monitoring") return ServiceName::kMonitoring;
  if (service != "sagemaker") return std::nullopt;
  // The control plane and the runtime sign alike.
  return head.path.starts_with("/endpoints/") ? ServiceName::kRuntime : ServiceName::kSageMaker;
}

// What the request ids of each protocol are called.
void AddRequestId(ServiceName name, const std::string& id, http::Response& response) {
  if (name == ServiceName::kS3) {
    response.fields.push_back({"x-amz-request-id", id});
    response.fields.push_back({"x-amz-id-2", id});
  } else {
    response.fields.push_back({"x-amzn-RequestId", id});
  }
}

// SageMaker's SDK tells its maker what is done with it, by an unsigned request for an object of a
// bucket of his. It waits for the answer.
bool IsTelemetry(const http::RequestHead& head) {
  const std::string* host = head.Find("Host");
  return host != nullptr && host->starts_with("sm-pysdk-t-") && head.path == "/telemetry" &&
         head.method == "GET";
}

}  // namespace

ServiceName ServiceOf(const http::RequestHead& head, std::string_view body) {
  const auto signature = ReadSignature(head);
  if (const auto* found = std::get_if<Signature>(&signature)) {
    if (const auto name = ByScope(found->service, head)) return *name;
  }
  if (const std::string* target = head.Find("X-Amz-Target")) {
    if (target->starts_with("Logs_")) return ServiceName::kLogs;
    if (target->starts_with("GraniteServiceVersion")) return ServiceName::kMonitoring;
    return ServiceName::kSageMaker;
  }
  const std::string* type = head.Find("Content-Type");
  if (head.method == "POST" && head.path == "/" && type != nullptr &&
      type->starts_with("application/x-www-form-urlencoded")) {
    if (body.find("Version=2010-08-01") != body.npos) return ServiceName::kMonitoring;
    const bool iam = body.find("Version=2010-05-08") != std::string_view::npos;
    return iam ? ServiceName::kIam : ServiceName::kSts;
  }
  if (head.path.starts_with("/endpoints/") && head.method == "POST" &&
      (head.path.ends_with("/invocations") || head.path.ends_with("/async-invocations"))) {
    return ServiceName::kRuntime;
  }
  return ServiceName::kS3;
}

Router::Router(const Verifier& verifier, std::function<void(std::string_view)> log)
    : verifier_(verifier),
      log_(std::move(log)),
      id_prefix_(Hex(AsText(RandomBytes32()).substr(0, 4))) {}

Service& Router::Find(ServiceName name) const {
  switch (name) {
    case ServiceName::kSts:
      return *services_.sts;
    case ServiceName::kIam:
      return *services_.iam;
    case ServiceName::kSageMaker:
      return *services_.sagemaker;
    case ServiceName::kRuntime:
      return *services_.runtime;
    case ServiceName::kLogs:
      return *services_.logs;
    case ServiceName::kMonitoring:
      return *services_.monitoring;
    default:
      return *services_.s3;
  }
}

std::string Router::NewRequestId() {
  char number[24];
  std::snprintf(number, sizeof(number), "%08llx",
                static_cast<unsigned long long>(requests_.fetch_add(1)));
  return id_prefix_ + number;
}

std::optional<http::Response> Router::OnHead(const http::RequestHead&) { return std::nullopt; }

http::Admission Router::Admit(const http::RequestHead& head) {
  if (auto answer = front_ ? front_(head) : std::nullopt) return {.answer = std::move(answer)};
  const ServiceName name = ServiceOf(head);
  Service& service = Find(name);
  if (!service.WantsStream(head)) {
    auto refused = service.Refuse(head);
    if (refused) AddRequestId(name, NewRequestId(), *refused);
    return {.answer = std::move(refused)};
  }
  const std::string id = NewRequestId();
  // The body is not there to be hashed: what does not say its hash was signed over none.
  auto verified = verifier_.Verify(head, {}, Now());
  http::Admission admission;
  if (const auto* error = std::get_if<AuthError>(&verified)) {
    admission.answer = service.Deny(head, *error, id);
  } else {
    admission = service.Open(head, std::get<Verified>(verified), id);
  }
  if (admission.answer) AddRequestId(name, id, *admission.answer);
  return admission;
}

void Router::OnRequest(http::Request request, std::shared_ptr<http::Exchange> exchange) {
  const ServiceName name = ServiceOf(request.head, request.body);
  Service& service = Find(name);
  const std::string id = NewRequestId();
  // Each answer gets the request's id, whoever gives it.
  auto tagged = std::make_shared<http::Exchange>(
      [exchange, name, id](std::optional<http::Response> response) {
        if (!response) return;  // exchange, let go of, answers
        AddRequestId(name, id, *response);
        exchange->Respond(*std::move(response));
      });
  if (IsTelemetry(request.head)) return tagged->Respond({});  // and nothing is kept of it
  // A body that went to a sink was let in with its head.
  std::variant<Verified, AuthError> verified = Verified{};
  if (!request.sink && verifier_.checks()) {
    const std::string hash = Hex(DigestOf(DigestKind::kSha256, request.body));
    verified = verifier_.Verify(request.head, hash, Now());
    // What was signed must also be what came.
    const std::string* said = request.head.Find("x-amz-content-sha256");
    const bool unsigned_payload =
        said != nullptr && name == ServiceName::kS3 && *said == kUnsignedPayload;
    if (said != nullptr && !unsigned_payload && *said != hash &&
        std::holds_alternative<Verified>(verified)) {
      verified = AuthError{AuthFault::kMismatch,
                           "The provided 'x-amz-content-sha256' header does not match what was "
                           "computed."};
    }
  }
  if (const auto* error = std::get_if<AuthError>(&verified)) {
    return tagged->Respond(service.Deny(request.head, *error, id));
  }
  service.Handle({.request = std::move(request),
                  .request_id = id,
                  .caller = std::get<Verified>(std::move(verified)).caller,
                  .cancelled = exchange->cancelled()},
                 tagged);
}

// Whose it is cannot be known: in the form of S3, which has most clients.
http::Response Router::OnRefusal(const http::Refusal& refusal) {
  if (refusal.status >= 500) log_(refusal.message);
  const std::string id = NewRequestId();
  http::Response response = services_.s3->Reject(refusal, id);
  AddRequestId(ServiceName::kS3, id, response);
  return response;
}

http::Response Router::OnRefusalOf(const http::RequestHead& head, const http::Refusal& refusal) {
  if (refusal.status >= 500) log_(refusal.message);
  const ServiceName name = ServiceOf(head);
  const std::string id = NewRequestId();
  http::Response response = Find(name).Reject(refusal, id);
  AddRequestId(name, id, response);
  return response;
}

}  // namespace bertie::cloud
