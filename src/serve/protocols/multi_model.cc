#include "serve/protocols/multi_model.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/encoding.h"
#include "base/quote.h"
#include "formats/json.h"
#include "serve/bad_input.h"
#include "serve/call.h"
#include "serve/openapi/operations.h"
#include "serve/protocols/repository.h"
#include "serve/refusal.h"

namespace bertie::serve {
namespace {

using formats::Json;
using http::Refusal;

constexpr size_t kPageSize = 100;
constexpr size_t kMaxNameBytes = 1024;

struct LoadOrder {
  std::string name;
  std::string path;
};

std::variant<LoadOrder, Refusal> ParseLoadOrder(const std::string& body) {
  auto parsed = formats::ParseJson(body, "body", {.max_values = 100});
  if (!parsed.ok()) return Refusal{400, "InvalidJson", parsed.error().message};
  LoadOrder order;
  for (const auto& [key, value] :
       {std::pair("model_name", &order.name), std::pair("url", &order.path)}) {
    const auto found = parsed->is_object() ? parsed->find(key) : parsed->end();
    if (found == parsed->end() || !found->is_string()) {
      return InvalidInput(std::string("the body has no string ") + key +
                          "; expected {\"model_name\": \"...\", \"url\": \"/path/of/the/model\"}");
    }
    *value = found->get<std::string>();
  }
  if (order.name.empty() || order.name.size() > kMaxNameBytes) {
    return InvalidInput("model_name has " + std::to_string(order.name.size()) +
                        " bytes; expected 1 to " + std::to_string(kMaxNameBytes));
  }
  constexpr std::string_view kFileScheme = "file://";
  if (order.path.starts_with(kFileScheme)) order.path.erase(0, kFileScheme.size());
  if (!order.path.starts_with('/')) {
    return InvalidInput(
        "url is " + Quote(order.path) +
        "; expected the path of a model on this machine, such as /opt/ml/models/m/model");
  }
  return order;
}

// What is not there is what the order names, not the path of the request.
Refusal FromLoading(const Error& error) {
  if (error.code == ErrorCode::kNotFound) return {400, "InvalidModel", error.message};
  return RepositoryRefusal(error);
}

Refusal NoModel(std::string_view name) {
  return {404, "ModelNotFound", "there is no model " + Quote(name)};
}

// A query's parameter; "" where it is not there.
std::string QueryValue(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), item.size() + 1));
    if (item.starts_with(name) && item.substr(name.size()).starts_with('=')) {
      return PercentDecode(item.substr(name.size() + 1)).value_or("");
    }
  }
  return "";
}

http::Response JsonResponse(const Json& body) {
  return {.content_type = "application/json", .body = formats::DumpJson(body) + "\n"};
}

// The models that are served, with their sources.
std::map<std::string, std::string> ServedModels(const ModelRepository& repository) {
  std::map<std::string, std::string> served;
  for (const ModelStatus& status : repository.Index()) {
    if (status.state == ModelStatus::State::kReady) served[status.id.name] = status.source;
  }
  return served;
}

Json Entry(const std::string& name, const std::string& source) {
  return {{"modelName", name}, {"modelUrl", source}};
}

}  // namespace

std::vector<Route> MultiModelProtocol::Routes() {
  const Access access = context_.options.multi_model ? Access::kKey : Access::kAdmin;
  using CallPointer = const std::shared_ptr<Call>&;
  return {{.pattern = "/models",
           .method = "POST",
           .handle = [this](CallPointer call) { Load(call); },
           .access = access,
           .describe = DescribeModelLoad},
          {.pattern = "/models",
           .method = "GET",
           .handle = [this](CallPointer call) { List(*call); },
           .access = access,
           .describe = DescribeModelList},
          {.pattern = "/models/{model}",
           .method = "GET",
           .handle = [this](CallPointer call) { Describe(*call); },
           .access = access,
           .describe = DescribeModelEntry},
          {.pattern = "/models/{model}",
           .method = "DELETE",
           .handle = [this](CallPointer call) { Unload(call); },
           .access = access,
           .describe = DescribeModelUnload},
          {.pattern = "/models/{model}/invoke",
           .method = "POST",
           .handle =
               [this](CallPointer call) {
                 sagemaker_.Invoke(call, std::string(call->parameter("model")));
               },
           .check =
               [this](const http::RequestHead& head, const PathParameters& parameters) {
                 return sagemaker_.CheckInvocation(head, parameters["model"]);
               },
           .describe = DescribeInvocations}};
}

http::Response MultiModelProtocol::Refuse(const Refusal& refusal,
                                          std::string_view request_id) const {
  return OwnRefusal(refusal, request_id);
}

void MultiModelProtocol::Load(const std::shared_ptr<Call>& call) {
  auto parsed = ParseLoadOrder(call->body());
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return call->Refuse(*refusal);
  const auto& [name, path] = std::get<LoadOrder>(parsed);
  const bool taken = !repository_.Add(name, path, [call, name = name](const Status& status) {
    if (!status.ok()) return call->Refuse(FromLoading(status.error()));
    call->Respond(JsonResponse({{"status", "model " + Quote(name) + " loaded"}}));
  });
  if (taken) call->Refuse({409, "ModelExists", "a model " + Quote(name) + " is there"});
}

// Names go by their bytes, and so do their tokens.
void MultiModelProtocol::List(Call& call) const {
  const std::string after = QueryValue(call.head().query, "next_page_token");
  const std::string wanted = QueryValue(call.head().query, "limit");
  size_t limit = kPageSize;
  if (!wanted.empty()) {
    const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), limit);
    if (error != std::errc() || end != wanted.data() + wanted.size() || limit == 0) {
      return call.Refuse(
          InvalidInput("limit is " + Quote(wanted) + "; expected a number from 1 on"));
    }
  }
  Json models = Json::array();
  std::string last;
  bool more = false;
  for (const auto& [name, source] : ServedModels(repository_)) {
    if (Hex(name) <= after) continue;
    more = models.size() == limit;
    if (more) break;
    models.push_back(Entry(name, source));
    last = name;
  }
  Json page = {{"models", std::move(models)}};
  if (more) page["nextPageToken"] = Hex(last);
  call.Respond(JsonResponse(page));
}

void MultiModelProtocol::Describe(Call& call) const {
  const std::string name(call.parameter("model"));
  const auto served = ServedModels(repository_);
  const auto found = served.find(name);
  if (found == served.end()) return call.Refuse(NoModel(name));
  call.Respond(JsonResponse(Entry(name, found->second)));
}

void MultiModelProtocol::Unload(const std::shared_ptr<Call>& call) {
  std::string name(call->parameter("model"));
  repository_.Unload(name, [call, name](const Status& status) {
    if (!status.ok()) return call->Refuse(RepositoryRefusal(status.error()));
    call->Respond(JsonResponse({{"status", "model " + Quote(name) + " unloaded"}}));
  });
}

}  // namespace bertie::serve
