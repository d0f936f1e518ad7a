#include "cloud/async/async_service.h"

#include <charconv>
#include <regex>
#include <utility>

#include "base/encoding.h"
#include "base/hmac.h"
#include "base/quote.h"
#include "cloud/endpoints/invocation.h"
#include "cloud/endpoints/model_data.h"
#include "cloud/json_service.h"
#include "formats/json.h"

namespace bertie::cloud {
namespace {

constexpr uint64_t kMaxInline = 128'000;
constexpr int64_t kDefaultTtl = 21'600;
constexpr int64_t kDefaultTimeLimit = 900;
constexpr char kPrefix[] = "X-Amzn-SageMaker-";

http::Response Invalid(const std::string& message) {
  return RuntimeError(400, "ValidationError", message);
}

// RFC 9562, version 4.
std::string NewUuid() {
  const Digest256 random = RandomBytes32();
  std::string id = Hex(AsText(random).substr(0, 16));
  constexpr char kVariants[] = "89ab";
  id[12] = '4';
  id[16] = kVariants[static_cast<unsigned>(random[16]) % 4];
  for (const size_t at : {20U, 16U, 12U, 8U}) id.insert(at, "-");
  return id;
}

// Reads the fields of one request, and keeps what is wrong with the first that is.
class AsyncFields {
 public:
  explicit AsyncFields(const http::RequestHead& head) : head_(head) {}

  // "" where there is none.
  std::string Text(const std::string& name) const {
    const std::string* value = head_.Find(kPrefix + name);
    return value == nullptr ? "" : *value;
  }
  std::string Matching(const std::string& name, size_t max, const char* pattern) {
    const std::string value = Text(name);
    if (value.empty()) return value;
    if (value.size() > max || !std::regex_match(value, std::regex(pattern))) {
      Fault(name, value, "at most " + std::to_string(max) + " characters that match " + pattern);
    }
    return value;
  }
  int64_t Seconds(const std::string& name, int64_t min, int64_t max, int64_t fallback) {
    const std::string value = Text(name);
    if (value.empty()) return fallback;
    int64_t number = 0;
    const char* end = value.data() + value.size();
    const auto [at, error] = std::from_chars(value.data(), end, number);
    if (error != std::errc() || at != end || number < min || number > max) {
      Fault(name, value, "a number from " + std::to_string(min) + " to " + std::to_string(max));
    }
    return number;
  }
  void Fault(const std::string& name, const std::string& value, const std::string& expected) {
    if (fault_.empty()) fault_ = name + ": found " + Quote(value) + ", expected " + expected;
  }
  const std::string& fault() const { return fault_; }

 private:
  const http::RequestHead& head_;
  std::string fault_;
};

// As the server is to get them.
std::vector<http::Field> ServerFields(const AsyncFields& fields, const std::string& inference_id) {
  std::vector<http::Field> result;
  const auto put = [&](const std::string& name, const std::string& value) {
    if (!value.empty()) result.push_back({name, value});
  };
  put("Content-Type", fields.Text("Content-Type"));
  put("Accept", fields.Text("Accept"));
  put(std::string(kPrefix) + "Custom-Attributes", fields.Text("Custom-Attributes"));
  put(std::string(kPrefix) + "Inference-Id", inference_id);
  return result;
}

// Where the answer goes, and the failure: names of their own, unless the client has one.
void PlaceAnswer(AsyncFields& fields, const AsyncPlan& plan, AsyncRequest& request) {
  const std::string extension =
      fields.Matching("S3OutputPathExtension", 512, R"((?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+)");
  const std::string file =
      fields.Matching("Filename", 32, R"((?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9-_\.]*)");
  const std::string id = NewUuid();
  if (request.inference_id.empty()) request.inference_id = id;
  const S3Uri folder = extension.empty() ? plan.output : plan.output.Inside(extension);
  request.output = folder.Inside(file.empty() ? id + ".out" : file);
  if (plan.failure) request.failure = plan.failure->Inside(id + "-error.out");
}

}  // namespace

std::optional<http::Response> AsyncService::Refuse(const http::RequestHead& head) {
  if (head.content_length > kMaxInline) {
    return RuntimeError(413, "ValidationError",
                        "The body has " + std::to_string(head.content_length) +
                            " bytes; the limit is " + std::to_string(kMaxInline) +
                            ": put it into S3 and name it as InputLocation.");
  }
  return CheckInvocationFields(head);
}

void AsyncService::Handle(Call call, std::shared_ptr<http::Exchange> exchange) {
  exchange->Respond(Answer(call));
}

http::Response AsyncService::Answer(const Call& call) {
  const http::RequestHead& head = call.request.head;
  const std::string& body = call.request.body;
  http::RequestHead measured = head;  // of one that came in chunks
  measured.content_length = body.size();
  if (auto refused = Refuse(measured)) return *std::move(refused);

  const InvocationNames names{settings_, EndpointInPath(head.path)};
  const std::shared_ptr<Endpoint> endpoint = endpoints_.Find(names.endpoint);
  const auto plan = endpoint ? endpoint->plan() : nullptr;
  if (!plan) return RouteError(RouteFault::kNoRoutes, names, "");
  if (!plan->async) {
    return Invalid("Endpoint " + names.endpoint +
                   " is not for asynchronous inference: its configuration has no "
                   "AsyncInferenceConfig.");
  }
  AsyncFields fields(head);
  AsyncRequest request{.endpoint = names.endpoint,
                       .endpoint_created = endpoint->created(),
                       .inference_id = fields.Matching("Inference-Id", 64, R"(\S[ -~]*)")};
  const std::string input = fields.Text("InputLocation");
  request.input = ParseS3Url(input);
  if (!input.empty() && (input.size() > 1024 || !request.input || request.input->key.empty())) {
    fields.Fault("InputLocation", input, "s3://BUCKET/KEY");
  }
  const int64_t ttl = fields.Seconds("RequestTTLSeconds", 60, kDefaultTtl, kDefaultTtl);
  request.expires = Now() + ttl * 1000;
  request.time_limit =
      std::chrono::seconds(fields.Seconds("InvocationTimeoutSeconds", 1, 3600, kDefaultTimeLimit));
  PlaceAnswer(fields, *plan->async, request);
  request.fields = ServerFields(fields, request.inference_id);
  if (!fields.fault().empty()) return Invalid(fields.fault());
  if (input.empty() == body.empty()) {
    return Invalid("InputLocation: exactly one of InputLocation and a body must be there.");
  }
  http::Response answer{.status = 202,
                        .content_type = "application/json",
                        .fields = {{"X-Amzn-SageMaker-OutputLocation", request.output.Text()}},
                        .body = formats::DumpJson({{"InferenceId", request.inference_id}})};
  if (request.failure) {
    answer.fields.push_back({"X-Amzn-SageMaker-FailureLocation", request.failure->Text()});
  }
  const Done kept = queue_.Accept(std::move(request), body);
  if (!kept.ok()) return RuntimeError(500, "InternalFailure", kept.error().message);
  return answer;
}

}  // namespace bertie::cloud
