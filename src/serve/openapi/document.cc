#include "serve/openapi/document.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

#include "serve/openapi/operations.h"

namespace bertie::serve {
namespace {

using formats::Json;

// "get_v2_models_model".
std::string OperationId(std::string_view method, std::string_view pattern) {
  std::string id;
  for (const char c : std::string(method) + std::string(pattern)) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (plain) {
      id.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    } else if (!id.empty() && id.back() != '_') {
      id.push_back('_');
    }
  }
  while (!id.empty() && id.back() == '_') id.pop_back();
  return id;
}

Json PathParameter(const std::string& name, const DocModel& model) {
  const bool version = name.find("version") != std::string::npos;
  return {{"name", name},
          {"in", "path"},
          {"required", true},
          {"schema", {{"type", "string"}, {"minLength", 1}}},
          {"example", version ? model.version : model.name}};
}

Json PathParametersOf(const PathRoutes& path, const DocModel& model) {
  Json parameters = Json::array();
  for (const std::string& part : path.parts) {
    if (part.starts_with('{')) {
      parameters.push_back(PathParameter(part.substr(1, part.size() - 2), model));
    }
  }
  return parameters;
}

Json DescribeRoute(const PathRoutes& path, const Route& route, const DocModel& model) {
  Json operation =
      route.describe ? route.describe(model)
                     : Json(Operation("Other", route.method + " " + path.pattern).Answers("Done."));
  operation["operationId"] = OperationId(route.method, path.pattern);
  Json parameters = PathParametersOf(path, model);
  if (!parameters.empty()) operation["parameters"] = std::move(parameters);
  operation["responses"]["default"] = {{"description", "Refused."},
                                       {"content", path.protocol->DescribeRefusal()}};
  return operation;
}

}  // namespace

Json Protocol::DescribeRefusal() const { return OwnRefusalContent(); }

Json OpenApiDocument(const RouteTable& routes, const DocModel& model,
                     std::string_view server_version) {
  Json document = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "bertie serve"},
        {"version", server_version},
        {"description", "Texts to labels, over the protocols that clients already speak."}}},
      {"servers", Json::array({{{"url", "/"}}})},
      {"paths", Json::object()}};
  for (const auto& path : routes.paths()) {
    for (const Route& route : path->routes) {
      if (!route.in_document) continue;
      std::string method = route.method;
      std::transform(method.begin(), method.end(), method.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      document["paths"][path->pattern][method] = DescribeRoute(*path, route, model);
    }
  }
  return document;
}

}  // namespace bertie::serve
