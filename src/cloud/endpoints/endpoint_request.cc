#include "cloud/endpoints/endpoint_request.h"

#include <algorithm>
#include <set>
#include <vector>

#include "base/encoding.h"
#include "base/hmac.h"
#include "base/quote.h"
#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/endpoints/model_operations.h"
#include "cloud/named_rows.h"
#include "cloud/request_reader.h"

namespace bertie::cloud {
namespace {

using formats::Json;

Outcome<std::optional<Json>> FindRequest(const State& state, NamedKind kind,
                                         const std::string& name) {
  auto row = state.Read<std::optional<NamedRow>>(
      [&](Database& database) { return FindNamed(database, kind, name); });
  if (!row.ok()) return row.error();
  if (!*row) return std::optional<Json>();
  auto request = ParseRequest((*row)->request);
  if (!request.ok()) return request.error();
  return std::optional(*std::move(request));
}

int64_t Instances(const std::string& deployment) {
  const auto plan = ParsePlan(deployment);
  return plan.ok() ? plan->instances() : 0;
}

}  // namespace

Outcome<Json> MakeDeployment(const Settings& settings, const State& state,
                             const std::string& config_name) {
  auto config = FindRequest(state, NamedKind::kEndpointConfig, config_name);
  if (!config.ok()) return config.error();
  if (!*config) return NoSuchConfig(settings, config_name);
  return MakeDeployment(settings, state, **std::move(config));
}

Outcome<Json> MakeDeployment(const Settings& settings, const State& state, Json config) {
  Json models = Json::object();
  RequestReader reader(config);
  const bool async = ReadAsync(reader).has_value();
  for (const VariantPlan& variant : ReadVariants(reader)) {
    auto model = FindRequest(state, NamedKind::kModel, variant.model);
    if (!model.ok()) return model.error();
    if (!*model) return NoSuchModel(settings, variant.model);
    RequestReader container(**model);
    const bool multi_model = ReadContainer(container).multi_model;
    if (multi_model && (async || !variant.accelerator_type.empty())) {
      return Failure("ValidationException",
                     "Model " + Quote(variant.model) +
                         " has the mode MultiModel: bertie cloud offers that without "
                         "AsyncInferenceConfig and without AcceleratorType");
    }
    models[variant.model] = **std::move(model);
  }
  return Json{{"id", Hex(AsText(RandomBytes32()).substr(0, 6))},
              {"config", std::move(config)},
              {"models", std::move(models)},
              {"variants", Json::object()}};
}

Status RetainProperties(const Json& request, const Json& current, Json& target) {
  std::set<std::string> excluded;
  if (const auto list = request.find("ExcludeRetainedVariantProperties");
      list != request.end() && list->is_array()) {
    for (const Json& entry : *list) {
      if (entry.is_object() && entry.contains("VariantPropertyType") &&
          entry["VariantPropertyType"].is_string()) {
        excluded.insert(entry["VariantPropertyType"].get<std::string>());
      }
    }
  }
  BERTIE_ASSIGN_OR_RETURN(const EndpointPlan wanted, PlanOf(target));
  BERTIE_ASSIGN_OR_RETURN(const EndpointPlan before, PlanOf(current));
  for (const VariantPlan& old : before.variants) {
    const bool both =
        std::any_of(wanted.variants.begin(), wanted.variants.end(),
                    [&](const VariantPlan& variant) { return variant.name == old.name; });
    if (!both) continue;
    if (!excluded.contains("DesiredWeight")) Override(target, old.name, "weight", old.weight);
    if (!excluded.contains("DesiredInstanceCount")) Override(target, old.name, "count", old.count);
  }
  return {};
}

Outcome<Json> WithWeights(const Json& request, const Json& current) {
  Json target = current;
  BERTIE_ASSIGN_OR_RETURN(const EndpointPlan plan, PlanOf(current));
  RequestReader reader(request);
  const auto read = [&](RequestReader& wish) {
    const std::string name = wish.Text("VariantName", Presence::kRequired, NameRule());
    const double weight = wish.Number("DesiredWeight", 0, 0);
    const int64_t count = wish.Integer("DesiredInstanceCount", Presence::kOptional, 1, 64, 1);
    const bool known =
        std::any_of(plan.variants.begin(), plan.variants.end(),
                    [&](const VariantPlan& variant) { return variant.name == name; });
    if (!known && !name.empty()) {
      wish.Fault("VariantName", Quote(name), "the endpoint must have a variant of this name");
    }
    if (wish.Has("DesiredWeight")) Override(target, name, "weight", weight);
    if (wish.Has("DesiredInstanceCount")) Override(target, name, "count", count);
  };
  reader.EachObject("DesiredWeightsAndCapacities", Presence::kRequired, 1, 10, read);
  if (auto failure = reader.failure()) return *failure;
  return target;
}

int64_t InstancesOf(const EndpointRow& row) {
  return std::max(Instances(row.current), Instances(row.target));
}

}  // namespace bertie::cloud
