#include "cloud/endpoints/endpoint_operations.h"

#include <map>
#include <utility>

#include "base/ascii.h"
#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/endpoints/endpoint_request.h"
#include "cloud/named_rows.h"
#include "cloud/paging.h"
#include "cloud/request_reader.h"
#include "cloud/tags.h"

namespace bertie::cloud {
namespace {

using formats::Json;

// Processes of models that one machine may be asked for.
constexpr int64_t kAllInstances = 64;

class EndpointKeeper {
 public:
  EndpointKeeper(const Settings& settings, State& state, Endpoints& endpoints)
      : settings_(settings), state_(state), endpoints_(endpoints) {}

  Outcome<Json> Create(const Json& request, const std::string& body);
  Outcome<Json> Describe(const Json& request);
  Outcome<Json> List(const Json& request);
  Outcome<Json> Update(const Json& request);
  Outcome<Json> UpdateWeights(const Json& request);
  Outcome<Json> Delete(const Json& request);

 private:
  // A request about one endpoint, with whatever else it must hold.
  struct Asked {
    std::string name, config;
    std::map<std::string, std::string> tags;
    std::shared_ptr<Endpoint> endpoint;
  };
  Outcome<Asked> Read(const Json& request, bool with_config, bool must_exist) const;
  Done CheckInstances(const std::string& name, const Json& target) const;
  std::string Arn(const std::string& name) const {
    return settings_.Arn("endpoint", AsciiLower(name));
  }
  Json ArnAnswer(const std::string& name) const { return {{"EndpointArn", Arn(name)}}; }
  std::string InProgress(const std::string& name) const {
    return "Cannot update in-progress endpoint \"" + Arn(name) + "\".";
  }

  const Settings& settings_;
  State& state_;
  Endpoints& endpoints_;
};

Outcome<EndpointKeeper::Asked> EndpointKeeper::Read(const Json& request, bool with_config,
                                                    bool must_exist) const {
  Asked asked;
  RequestReader reader(request);
  asked.name = reader.Text("EndpointName", Presence::kRequired, NameRule());
  if (with_config) {
    asked.config = reader.Text("EndpointConfigName", Presence::kRequired, NameRule());
    asked.tags = reader.Tags();
    reader.Object("DeploymentConfig", Presence::kOptional);
    reader.Flag("RetainAllVariantProperties");
  }
  if (auto failure = reader.failure()) return *failure;
  asked.endpoint = endpoints_.Find(asked.name);
  if (must_exist && !asked.endpoint) {
    return Failure("ValidationException", "Could not find endpoint \"" + Arn(asked.name) + "\".");
  }
  return asked;
}

Done EndpointKeeper::CheckInstances(const std::string& name, const Json& target) const {
  int64_t used = 0;
  for (const auto& endpoint : endpoints_.All()) {
    if (endpoint->name() != name) used += InstancesOf(endpoint->row());
  }
  BERTIE_ASSIGN_OR_RETURN(const EndpointPlan plan, PlanOf(target));
  const int64_t wanted = plan.instances();
  if (used + wanted <= kAllInstances) return std::monostate();
  return Failure("ResourceLimitExceeded",
                 "This cloud runs at most " + std::to_string(kAllInstances) +
                     " instances of endpoints; " + std::to_string(used) +
                     " are in use, and the request is for " + std::to_string(wanted) + ".");
}

Outcome<Json> EndpointKeeper::Create(const Json& request, const std::string& body) {
  auto asked = Read(request, true, false);
  if (!asked.ok()) return asked.error();
  const auto taken = [&]() -> Outcome<Json> {
    const auto endpoint = endpoints_.Find(asked->name);
    const EndpointRow first = endpoint ? endpoint->row() : EndpointRow{};
    if (IsRepeat(first.request, first.created, body)) return ArnAnswer(asked->name);
    return Failure("ValidationException",
                   "Cannot create already existing endpoint \"" + Arn(asked->name) + "\".");
  };
  if (asked->endpoint) return taken();
  auto deployment = MakeDeployment(settings_, state_, asked->config);
  if (!deployment.ok()) return deployment.error();
  if (Done room = CheckInstances(asked->name, *deployment); !room.ok()) return room.error();
  // Nothing of an earlier endpoint of that name, should a kill have left it.
  const auto tag = [&](Database& database) -> Done {
    if (Done fresh = DropTags(database, Arn(asked->name)); !fresh.ok()) return fresh;
    return AddTags(database, Arn(asked->name), asked->tags);
  };
  const Milliseconds now = Now();
  auto created = endpoints_.Create({.name = asked->name,
                                    .created = now,
                                    .modified = now,
                                    .request = body,
                                    .status = kCreating,
                                    .target = formats::DumpJson(*deployment)},
                                   tag);
  if (!created.ok()) return created.error();
  if (!*created) return taken();
  endpoints_.PruneLogs();
  return ArnAnswer(asked->name);
}

Outcome<Json> EndpointKeeper::Describe(const Json& request) {
  auto asked = Read(request, false, true);
  if (!asked.ok()) return asked.error();
  const EndpointRow row = asked->endpoint->row();
  auto deployment = ParseRequest(row.current.empty() ? row.target : row.current);
  const bool readable = deployment.ok() && PlanOf(*deployment).ok();
  auto created = ParseRequest(row.request);
  Json answer{{"EndpointName", row.name},
              {"EndpointArn", Arn(row.name)},
              {"EndpointStatus", row.status},
              {"CreationTime", JsonTime(row.created)},
              {"LastModifiedTime", JsonTime(row.modified)}};
  if (readable) {
    const Json& config = (*deployment)["config"];
    answer["EndpointConfigName"] = config["EndpointConfigName"];
    if (const auto async = config.find("AsyncInferenceConfig"); async != config.end()) {
      answer["AsyncInferenceConfig"] = *async;
    }
  } else if (created.ok()) {  // it failed to be created
    answer["EndpointConfigName"] = (*created)["EndpointConfigName"];
  }
  if (!row.failure.empty()) answer["FailureReason"] = row.failure;
  Json variants = Json::array();
  for (const Endpoint::VariantState& variant : asked->endpoint->variants()) {
    const Json image{{"SpecifiedImage", variant.image},
                     {"ResolvedImage", variant.image},
                     {"ResolutionTime", JsonTime(row.created)}};
    variants.push_back({{"VariantName", variant.name},
                        {"CurrentWeight", variant.current_weight},
                        {"DesiredWeight", variant.desired_weight},
                        {"CurrentInstanceCount", variant.current_count},
                        {"DesiredInstanceCount", variant.desired_count},
                        {"DeployedImages", Json::array({image})}});
  }
  if (!variants.empty()) answer["ProductionVariants"] = std::move(variants);
  return answer;
}

Outcome<Json> EndpointKeeper::List(const Json& request) {
  std::vector<Listed> items;
  for (const auto& endpoint : endpoints_.All()) {
    const EndpointRow row = endpoint->row();
    items.push_back({row.name, row.created, row.modified, row.status});
  }
  auto page = SelectPage(request, std::move(items));
  if (!page.ok()) return page.error();
  Json list = Json::array();
  for (const Listed& item : page->items) {
    list.push_back({{"EndpointName", item.name},
                    {"EndpointArn", Arn(item.name)},
                    {"CreationTime", JsonTime(item.created)},
                    {"LastModifiedTime", JsonTime(item.modified)},
                    {"EndpointStatus", item.status}});
  }
  Json answer{{"Endpoints", std::move(list)}};
  if (!page->next_token.empty()) answer["NextToken"] = page->next_token;
  return answer;
}

Outcome<Json> EndpointKeeper::Update(const Json& request) {
  auto asked = Read(request, true, true);
  if (!asked.ok()) return asked.error();
  auto target = MakeDeployment(settings_, state_, asked->config);
  if (!target.ok()) return target.error();
  if (Done room = CheckInstances(asked->name, *target); !room.ok()) return room.error();
  const Done done = asked->endpoint->Update(InProgress(asked->name), [&](EndpointRow& row) -> Done {
    auto current = ParseRequest(row.current);
    if (!current.ok()) return current.error();
    const auto retain = request.find("RetainAllVariantProperties");
    if (retain != request.end() && *retain == true) {
      BERTIE_RETURN_IF_ERROR(RetainProperties(request, *current, *target));
    }
    row.target = formats::DumpJson(*target);
    return std::monostate();
  });
  if (!done.ok()) return done.error();
  endpoints_.PruneLogs();
  return ArnAnswer(asked->name);
}

Outcome<Json> EndpointKeeper::UpdateWeights(const Json& request) {
  auto asked = Read(request, false, true);
  if (!asked.ok()) return asked.error();
  // Before the endpoint is held: the check looks at others.
  if (auto current = ParseRequest(asked->endpoint->row().current); current.ok()) {
    auto target = WithWeights(request, *current);
    if (!target.ok()) return target.error();
    if (Done room = CheckInstances(asked->name, *target); !room.ok()) return room.error();
  }
  const Done done = asked->endpoint->Update(InProgress(asked->name), [&](EndpointRow& row) -> Done {
    auto current = ParseRequest(row.current);
    if (!current.ok()) return current.error();
    auto target = WithWeights(request, *current);
    if (!target.ok()) return target.error();
    row.target = formats::DumpJson(*target);
    return std::monostate();
  });
  if (!done.ok()) return done.error();
  return ArnAnswer(asked->name);
}

Outcome<Json> EndpointKeeper::Delete(const Json& request) {
  auto asked = Read(request, false, true);
  if (!asked.ok()) return asked.error();
  const Done done = asked->endpoint->Delete(InProgress(asked->name));
  if (!done.ok()) return done.error();
  if (Done dropped = DropTags(state_, Arn(asked->name)); !dropped.ok()) return dropped.error();
  return Json::object();
}

}  // namespace

JsonService::Operations EndpointOperations(const Settings& settings, State& state,
                                           Endpoints& endpoints) {
  const auto keeper = std::make_shared<EndpointKeeper>(settings, state, endpoints);
  const auto bind = [&keeper](auto operation) {
    return ParsedOperation([keeper, operation](const Json& request, const std::string&) {
      return (keeper.get()->*operation)(request);
    });
  };
  return {
      {"CreateEndpoint", ParsedOperation([keeper](const Json& request, const std::string& body) {
         return keeper->Create(request, body);
       })},
      {"DescribeEndpoint", bind(&EndpointKeeper::Describe)},
      {"ListEndpoints", bind(&EndpointKeeper::List)},
      {"UpdateEndpoint", bind(&EndpointKeeper::Update)},
      {"UpdateEndpointWeightsAndCapacities", bind(&EndpointKeeper::UpdateWeights)},
      {"DeleteEndpoint", bind(&EndpointKeeper::Delete)}};
}

}  // namespace bertie::cloud
