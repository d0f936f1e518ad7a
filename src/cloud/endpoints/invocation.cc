#include "cloud/endpoints/invocation.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/quote.h"
#include "formats/json.h"

namespace bertie::cloud {
namespace {

using formats::Json;
using http::EqualsIgnoreCase;

constexpr std::string_view kOwn = "X-Amzn-SageMaker-";

struct OwnField {
  std::string_view name;  // after kOwn
  size_t max;
};
constexpr std::array kOwnFields = {
    OwnField{"Custom-Attributes", 1024}, OwnField{"Target-Model", 1024},
    OwnField{"Target-Variant", 63},      OwnField{"Target-Container-Hostname", 63},
    OwnField{"Inference-Id", 64},        OwnField{"Enable-Explanations", 64},
    OwnField{"Inference-Component", 63}, OwnField{"Session-Id", 256},
};

const OwnField* FindOwn(const std::string& name) {
  if (name.size() <= kOwn.size() || !EqualsIgnoreCase(name.substr(0, kOwn.size()), kOwn)) {
    return nullptr;
  }
  const auto found = std::find_if(kOwnFields.begin(), kOwnFields.end(), [&](const OwnField& own) {
    return EqualsIgnoreCase(name.substr(kOwn.size()), own.name);
  });
  return found == kOwnFields.end() ? nullptr : &*found;
}

std::string LogGroup(const InvocationNames& names) {
  return "/aws/sagemaker/Endpoints/" + names.endpoint;
}

http::Response ErrorResponse(int status, const char* code, const Json& body) {
  return {.status = status,
          .content_type = "application/json",
          .fields = {{"x-amzn-ErrorType", code}},
          .body = formats::DumpJson(body)};
}

http::Response ModelError(const InvocationNames& names, int original_status,
                          const std::string& message, const std::string& original_message) {
  return ErrorResponse(
      424, "ModelError",
      {{"Message", message + " See " + LogGroup(names) + " in account " + names.settings.account +
                       " for more information."},
       {"OriginalStatusCode", original_status},
       {"OriginalMessage", original_message},
       {"LogStreamArn", "arn:aws:logs:" + names.settings.region + ":" + names.settings.account +
                            ":log-group:" + LogGroup(names)}});
}

http::Response NoAnswer(const Error& error, const InvocationNames& names) {
  switch (error.code) {
    case ErrorCode::kDeadlineExceeded:
      return ModelError(names, 0,
                        "Invocation timed out while waiting for a response from container "
                        "primary.",
                        "");
    case ErrorCode::kUnavailable:
    case ErrorCode::kIo:
      return RuntimeError(503, "ServiceUnavailable",
                          "Variant " + names.variant + " of endpoint " + names.endpoint +
                              " lost its server: " + error.message);
    case ErrorCode::kResourceExhausted:
    case ErrorCode::kInvalidData:
      return ModelError(names, 500, "Received an invalid response from primary: " + error.message,
                        "");
    default:
      return RuntimeError(500, "InternalFailure", error.message);
  }
}

// The kind of refusal that bertie's server names in its body.
std::string TypeOf(const std::string& body) {
  auto parsed = formats::ParseJson(body, "answer");
  if (!parsed.ok() || !parsed->is_object()) return "";
  const auto type = parsed->find("type");
  return type != parsed->end() && type->is_string() ? type->get<std::string>() : "";
}

http::Response Refused(http::ClientAnswer answer, const InvocationNames& names) {
  if (answer.status == 503) {
    if (TypeOf(answer.body) == "DeadlineExceeded") {
      return NoAnswer({ErrorCode::kDeadlineExceeded, ""}, names);
    }
    return RuntimeError(503, "ServiceUnavailable",
                        "Endpoint " + names.endpoint + " cannot take the request: " + answer.body);
  }
  const std::string kind = answer.status >= 500 ? "server" : "client";
  return ModelError(names, answer.status,
                    "Received " + kind + " error (" + std::to_string(answer.status) +
                        ") from primary with message \"" + answer.body + "\".",
                    answer.body);
}

}  // namespace

http::Response RuntimeError(int status, const char* code, const std::string& message) {
  return ErrorResponse(status, code, {{"Message", message}});
}

std::string EndpointInPath(const std::string& path) {
  constexpr std::string_view kStart = "/endpoints/";
  if (!path.starts_with(kStart)) return "";
  const size_t end = std::min(path.find('/', kStart.size()), path.size());
  return path.substr(kStart.size(), end - kStart.size());
}

std::vector<http::Field> FieldsForServer(const http::RequestHead& head) {
  std::vector<http::Field> fields;
  for (const http::Field& field : head.fields) {
    if (EqualsIgnoreCase(field.name, "Content-Type") || EqualsIgnoreCase(field.name, "Accept") ||
        FindOwn(field.name) != nullptr) {
      fields.push_back(field);
    }
  }
  return fields;
}

std::optional<http::Response> CheckInvocationFields(const http::RequestHead& head) {
  for (const http::Field& field : head.fields) {
    const OwnField* own = FindOwn(field.name);
    if (own == nullptr || field.value.size() <= own->max) continue;
    return RuntimeError(400, "ValidationError",
                        field.name + " has " + std::to_string(field.value.size()) +
                            " bytes; the limit is " + std::to_string(own->max) + ".");
  }
  return std::nullopt;
}

std::optional<http::Response> CheckInvocation(const http::RequestHead& head) {
  if (head.content_length > kMaxInvocationBody) {
    return RuntimeError(413, "ValidationError",
                        "The body has " + std::to_string(head.content_length) +
                            " bytes; the limit is " + std::to_string(kMaxInvocationBody) + ".");
  }
  if (!head.path.ends_with("/invocations")) {
    return RuntimeError(400, "ValidationError",
                        "bertie cloud offers /endpoints/NAME/invocations and "
                        "/endpoints/NAME/async-invocations; found " +
                            Quote(head.path));
  }
  return CheckInvocationFields(head);
}

http::Response RouteError(RouteFault fault, const InvocationNames& names,
                          const std::string& wanted_variant) {
  switch (fault) {
    case RouteFault::kUnknownVariant:
      return RuntimeError(
          400, "ValidationError",
          "Variant " + Quote(wanted_variant) + " of endpoint " + names.endpoint + " not found.");
    case RouteFault::kNoWeight:
      return RuntimeError(400, "ValidationError",
                          "All variants of endpoint " + names.endpoint + " have the weight 0.");
    case RouteFault::kDown:
      return RuntimeError(503, "ServiceUnavailable",
                          "No server of endpoint " + names.endpoint + " takes requests.");
    default:
      return RuntimeError(
          400, "ValidationError",
          "Endpoint " + names.endpoint + " of account " + names.settings.account + " not found.");
  }
}

http::Response InvocationAnswer(Result<http::ClientAnswer> answer, const InvocationNames& names) {
  if (!answer.ok()) return NoAnswer(answer.error(), names);
  if (answer->status < 200 || answer->status > 299) return Refused(*std::move(answer), names);
  http::Response response{.status = 200};
  for (http::Field& field : answer->fields) {
    if (EqualsIgnoreCase(field.name, "Content-Type")) {
      response.content_type = std::move(field.value);
    } else if (EqualsIgnoreCase(field.name, "X-Amzn-SageMaker-Custom-Attributes") ||
               EqualsIgnoreCase(field.name, "x-bertie-truncated") ||
               EqualsIgnoreCase(field.name, "x-bertie-windows")) {
      response.fields.push_back(std::move(field));
    }
  }
  response.fields.push_back({"x-Amzn-Invoked-Production-Variant", names.variant});
  response.body = std::move(answer->body);
  return response;
}

std::optional<http::Response> CheckTargetModel(bool multi_model, const std::string& target) {
  if (multi_model == !target.empty()) return std::nullopt;
  return RuntimeError(
      400, "ValidationError",
      multi_model ? "TargetModel must be given: the endpoint serves several models."
                  : "Invocation with TargetModel is not allowed: the endpoint serves one model.");
}

http::Response LoadRefusal(LoadAnswer answer, const InvocationNames& names) {
  switch (answer.kind) {
    case LoadAnswer::Kind::kMissing:
      return RuntimeError(400, "ValidationError",
                          "Failed to download model data (" + answer.message +
                              "). Please ensure that there is an object located at the URL.");
    case LoadAnswer::Kind::kNotReady:
      return RuntimeError(429, "ModelNotReadyException",
                          "The model is still being loaded by endpoint " + names.endpoint + ".");
    case LoadAnswer::Kind::kRefused:
      return InvocationAnswer(std::move(answer.answer), names);
    default:
      return RuntimeError(
          503, "ServiceUnavailable",
          "Endpoint " + names.endpoint + " cannot load the model: " + answer.message);
  }
}

bool IsUnknownModel(const http::ClientAnswer& answer) {
  return answer.status == 404 && TypeOf(answer.body) == "ModelNotFound";
}

bool MayAskAnother(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kIo;
}

}  // namespace bertie::cloud
