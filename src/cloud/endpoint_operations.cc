#include "cloud/endpoint_operations.h"

#include <utility>

#include "base/ascii.h"
#include "cloud/endpoint_plan.h"
#include "cloud/endpoint_request.h"
#include "cloud/named_rows.h"
#include "cloud/paging.h"
#include "cloud/request_reader.h"

namespace bertie::cloud {
namespace {

using formats::Json;

// Processes of models that one machine may be asked for.
constexpr int64_t kAllInstances = 64;

class EndpointKeeper {
 public:
  EndpointKeeper(const Settings& settings, State& state, Endpoints& endpoints)
      : settings_(settings), state_(state), endpoints_(endpoints) {}

  Outcome<std::string> Create(const std::string& body);
  Outcome<std::string> Describe(const std::string& body);
  Outcome<std::string> List(const std::string& body);
  Outcome<std::string> Update(const std::string& body);
  Outcome<std::string> UpdateWeights(const std::string& body);
  Outcome<std::string> Delete(const std::string& body);

 private:
  // A request about one endpoint, with whatever else it must hold.
  struct Asked {
    Json request;
    std::string name, config;
    std::shared_ptr<Endpoint> endpoint;
  };
  Outcome<Asked> Read(const std::string& body, bool with_config, bool must_exist);
  Done CheckInstances(const std::string& name, const Json& target) const;
  std::string Arn(const std::string& name) const {
    return settings_.Arn("endpoint", AsciiLower(name));
  }
  std::string ArnAnswer(const std::string& name) const {
    return formats::DumpJson({{"EndpointArn", Arn(name)}});
  }
  std::string InProgress(const std::string& name) const {
    return "Cannot update in-progress endpoint \"" + Arn(name) + "\".";
  }

  const Settings& settings_;
  State& state_;
  Endpoints& endpoints_;
};

Outcome<EndpointKeeper::Asked> EndpointKeeper::Read(const std::string& body, bool with_config,
                                                    bool must_exist) {
  auto request = ParseRequest(body);
  if (!request.ok()) return request.error();
  Asked asked{.request = *std::move(request), .name = {}, .config = {}, .endpoint = {}};
  RequestReader reader(asked.request);
  asked.name = reader.Text("EndpointName", Presence::kRequired, NameRule());
  if (with_config) {
    asked.config = reader.Text("EndpointConfigName", Presence::kRequired, NameRule());
    reader.Tags();
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
  int64_t wanted = 0;
  for (const VariantPlan& variant : PlanOf(target).variants) wanted += variant.count;
  if (used + wanted <= kAllInstances) return std::monostate();
  return Failure("ResourceLimitExceeded",
                 "This cloud runs at most " + std::to_string(kAllInstances) +
                     " instances of endpoints; " + std::to_string(used) +
                     " are in use, and the request is for " + std::to_string(wanted) + ".");
}

Outcome<std::string> EndpointKeeper::Create(const std::string& body) {
  auto asked = Read(body, true, false);
  if (!asked.ok()) return asked.error();
  const auto taken = [&]() -> Outcome<std::string> {
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
  const Milliseconds now = Now();
  auto created = endpoints_.Create({.name = asked->name,
                                    .created = now,
                                    .modified = now,
                                    .request = body,
                                    .status = kCreating,
                                    .target = formats::DumpJson(*deployment)});
  if (!created.ok()) return created.error();
  return *created ? ArnAnswer(asked->name) : taken();
}

Outcome<std::string> EndpointKeeper::Describe(const std::string& body) {
  auto asked = Read(body, false, true);
  if (!asked.ok()) return asked.error();
  const EndpointRow row = asked->endpoint->row();
  auto deployment = ParseRequest(row.current.empty() ? row.target : row.current);
  auto created = ParseRequest(row.request);
  Json answer{{"EndpointName", row.name},
              {"EndpointArn", Arn(row.name)},
              {"EndpointStatus", row.status},
              {"CreationTime", JsonTime(row.created)},
              {"LastModifiedTime", JsonTime(row.modified)}};
  if (deployment.ok()) {
    answer["EndpointConfigName"] = PlanOf(*deployment).config;
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
  return formats::DumpJson(answer);
}

Outcome<std::string> EndpointKeeper::List(const std::string& body) {
  auto request = ParseRequest(body);
  if (!request.ok()) return request.error();
  std::vector<Listed> items;
  for (const auto& endpoint : endpoints_.All()) {
    const EndpointRow row = endpoint->row();
    items.push_back({row.name, row.created, row.modified, row.status});
  }
  auto page = SelectPage(*request, std::move(items));
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
  return formats::DumpJson(answer);
}

Outcome<std::string> EndpointKeeper::Update(const std::string& body) {
  auto asked = Read(body, true, true);
  if (!asked.ok()) return asked.error();
  auto target = MakeDeployment(settings_, state_, asked->config);
  if (!target.ok()) return target.error();
  if (Done room = CheckInstances(asked->name, *target); !room.ok()) return room.error();
  const Done done = asked->endpoint->Update(InProgress(asked->name), [&](EndpointRow& row) -> Done {
    auto current = ParseRequest(row.current);
    if (!current.ok()) return current.error();
    const auto retain = asked->request.find("RetainAllVariantProperties");
    if (retain != asked->request.end() && *retain == true) {
      RetainProperties(asked->request, *current, *target);
    }
    row.target = formats::DumpJson(*target);
    return std::monostate();
  });
  if (!done.ok()) return done.error();
  return ArnAnswer(asked->name);
}

Outcome<std::string> EndpointKeeper::UpdateWeights(const std::string& body) {
  auto asked = Read(body, false, true);
  if (!asked.ok()) return asked.error();
  // Before the endpoint is held: the check looks at others.
  if (auto current = ParseRequest(asked->endpoint->row().current); current.ok()) {
    auto target = WithWeights(asked->request, *current);
    if (!target.ok()) return target.error();
    if (Done room = CheckInstances(asked->name, *target); !room.ok()) return room.error();
  }
  const Done done = asked->endpoint->Update(InProgress(asked->name), [&](EndpointRow& row) -> Done {
    auto current = ParseRequest(row.current);
    if (!current.ok()) return current.error();
    auto target = WithWeights(asked->request, *current);
    if (!target.ok()) return target.error();
    row.target = formats::DumpJson(*target);
    return std::monostate();
  });
  if (!done.ok()) return done.error();
  return ArnAnswer(asked->name);
}

Outcome<std::string> EndpointKeeper::Delete(const std::string& body) {
  auto asked = Read(body, false, true);
  if (!asked.ok()) return asked.error();
  const Done done = asked->endpoint->Delete(InProgress(asked->name));
  if (!done.ok()) return done.error();
  return std::string("{}");
}

}  // namespace

JsonService::Operations EndpointOperations(const Settings& settings, State& state,
                                           Endpoints& endpoints) {
  const auto keeper = std::make_shared<EndpointKeeper>(settings, state, endpoints);
  const auto bind = [&keeper](Outcome<std::string> (EndpointKeeper::*operation)(
                        const std::string&)) -> JsonService::Operation {
    return [keeper, operation](const std::string& body, const Caller&) {
      return (keeper.get()->*operation)(body);
    };
  };
  return {{"CreateEndpoint", bind(&EndpointKeeper::Create)},
          {"DescribeEndpoint", bind(&EndpointKeeper::Describe)},
          {"ListEndpoints", bind(&EndpointKeeper::List)},
          {"UpdateEndpoint", bind(&EndpointKeeper::Update)},
          {"UpdateEndpointWeightsAndCapacities", bind(&EndpointKeeper::UpdateWeights)},
          {"DeleteEndpoint", bind(&EndpointKeeper::Delete)}};
}

}  // namespace bertie::cloud
