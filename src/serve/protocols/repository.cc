#include "serve/protocols/repository.h"

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "formats/json.h"
#include "serve/call.h"
#include "serve/openapi/operations.h"

namespace bertie::serve {
namespace {

using formats::Json;
using http::Refusal;

// The body, which may be empty, as an object.
std::variant<Json, Refusal> ParseOptionalObject(const std::string& body) {
  if (body.find_first_not_of(" \t\r\n") == std::string::npos) return Json::object();
  auto parsed = formats::ParseJson(body, "body", {.max_values = 1000});
  if (!parsed.ok()) return Refusal{400, "InvalidJson", parsed.error().message};
  if (parsed->is_object()) return *std::move(parsed);
  return Refusal{
      400, "InvalidInput",
      std::string("the body is ") + formats::JsonTypeName(*parsed) + "; expected an object"};
}

ModelRepository::Done Answering(const std::shared_ptr<Call>& call) {
  return [call](const Status& status) {
    if (!status.ok()) return call->Refuse(RepositoryRefusal(status.error()));
    call->Respond({.content_type = "application/json", .body = "{}"});
  };
}

}  // namespace

const char* StateName(ModelStatus::State state) {
  switch (state) {
    case ModelStatus::State::kLoading:
      return "LOADING";
    case ModelStatus::State::kReady:
      return "READY";
    default:
      return "UNAVAILABLE";
  }
}

Refusal RepositoryRefusal(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotFound:
      return {404, "ModelNotFound", error.message};
    case ErrorCode::kUnavailable:
      return {503, "ShuttingDown", error.message};
    case ErrorCode::kResourceExhausted:
      return {507, "InsufficientMemory", error.message};
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      return {500, "LoadFailed", error.message};
    default:
      return {400, "InvalidModel", error.message};
  }
}

std::vector<Route> RepositoryProtocol::Routes() {
  using CallPointer = const std::shared_ptr<Call>&;
  const std::string models = "/v2/repository/models/{model}/";
  return {{.pattern = "/v2/repository/index",
           .method = "POST",
           .handle = [this](CallPointer call) { Index(*call); },
           .access = Access::kAdmin,
           .describe = DescribeRepositoryIndex},
          {.pattern = models + "load",
           .method = "POST",
           .handle = [this](CallPointer call) { Load(call); },
           .access = Access::kAdmin,
           .describe = DescribeRepositoryLoad},
          {.pattern = models + "unload",
           .method = "POST",
           .handle = [this](CallPointer call) { Unload(call); },
           .access = Access::kAdmin,
           .describe = DescribeRepositoryUnload}};
}

http::Response RepositoryProtocol::Refuse(const Refusal& refusal,
                                          std::string_view /*request_id*/) const {
  return {.status = refusal.status,
          .content_type = "application/json",
          .body = formats::DumpJson({{"error", refusal.message}})};
}

Json RepositoryProtocol::DescribeRefusal() const { return V2RefusalContent(); }

void RepositoryProtocol::Index(Call& call) const {
  auto body = ParseOptionalObject(call.body());
  if (auto* refusal = std::get_if<Refusal>(&body)) return call.Refuse(*refusal);
  const Json ready = std::get<Json>(body).value("ready", Json(false));
  if (!ready.is_boolean()) {
    return call.Refuse({400, "InvalidInput", "ready is not true or false"});
  }
  Json index = Json::array();
  for (const ModelStatus& status : repository_.Index()) {
    if (ready.get<bool>() && status.state != ModelStatus::State::kReady) continue;
    index.push_back({{"name", status.id.name},
                     {"version", status.id.version},
                     {"state", StateName(status.state)},
                     {"reason", status.reason}});
  }
  call.Respond({.content_type = "application/json", .body = formats::DumpJson(index)});
}

void RepositoryProtocol::Load(const std::shared_ptr<Call>& call) {
  auto body = ParseOptionalObject(call->body());
  if (auto* refusal = std::get_if<Refusal>(&body)) return call->Refuse(*refusal);
  const Json parameters = std::get<Json>(body).value("parameters", Json::object());
  if (!parameters.empty()) {
    return call->Refuse(
        {400, "InvalidInput",
         "a model is loaded from its folder as it is: parameters (config, file:...) "
         "are not taken"});
  }
  repository_.Load(std::string(call->parameter("model")), Answering(call));
}

void RepositoryProtocol::Unload(const std::shared_ptr<Call>& call) {
  repository_.Unload(std::string(call->parameter("model")), Answering(call));
}

}  // namespace bertie::serve
