#include "cloud/endpoints/model_operations.h"

#include <map>
#include <utility>

#include "base/ascii.h"
#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/endpoints/model_data.h"
#include "cloud/named_rows.h"
#include "cloud/paging.h"
#include "cloud/request_reader.h"
#include "cloud/tags.h"

namespace bertie::cloud {
namespace {

using formats::Json;

// What differs between the two kinds of things.
struct Words {
  NamedKind kind;
  const char* arn;   // in the resource's name
  const char* said;  // in messages
  const char* name;  // the member with the name
  const char* arn_member;
  const char* list_member;
  TextRule rule;
};

Words WordsOf(NamedKind kind) {
  return kind == NamedKind::kModel
             ? Words{kind, "model", "model", "ModelName", "ModelArn", "Models", ModelNameRule()}
             : Words{kind,
                     "endpoint-config",
                     "endpoint configuration",
                     "EndpointConfigName",
                     "EndpointConfigArn",
                     "EndpointConfigs",
                     NameRule()};
}

std::string ArnOf(const Settings& settings, const Words& words, const std::string& name) {
  return settings.Arn(words.arn, AsciiLower(name));
}

Failure Missing(const Settings& settings, const Words& words, const std::string& name) {
  return {"ValidationException", std::string("Could not find ") + words.said + " \"" +
                                     ArnOf(settings, words, name) + "\"."};
}

// Both kinds, after their own checks.
class Keeper {
 public:
  Keeper(const Settings& settings, State& state, Words words)
      : settings_(settings), state_(state), words_(std::move(words)) {}

  const Words& words() const { return words_; }
  std::string Arn(const std::string& name) const { return ArnOf(settings_, words_, name); }

  Outcome<Json> Create(const NamedRow& row, const std::map<std::string, std::string>& tags) const {
    return state_.Change<Json>([&](Database& database) -> Outcome<Json> {
      const Json answer{{words_.arn_member, Arn(row.name)}};
      auto inserted = InsertNamed(database, words_.kind, row);
      if (!inserted.ok()) return inserted.error();
      if (*inserted) {
        if (Done tagged = AddTags(database, Arn(row.name), tags); !tagged.ok()) {
          return tagged.error();
        }
        return answer;
      }
      auto first = FindNamed(database, words_.kind, row.name);
      if (!first.ok()) return first.error();
      if (IsRepeat((*first)->request, (*first)->created, row.request)) return answer;
      return Failure("ValidationException", std::string("Cannot create already existing ") +
                                                words_.said + " \"" + Arn(row.name) + "\".");
    });
  }

  // The name that a request holds.
  Outcome<std::string> NameIn(const Json& request) const {
    RequestReader reader(request);
    std::string name = reader.Text(words_.name, Presence::kRequired, words_.rule);
    if (auto failure = reader.failure()) return *failure;
    return name;
  }

  Outcome<Json> Describe(const Json& request) const {
    auto name = NameIn(request);
    if (!name.ok()) return name.error();
    auto row = state_.Read<std::optional<NamedRow>>(
        [&](Database& database) { return FindNamed(database, words_.kind, *name); });
    if (!row.ok()) return row.error();
    if (!*row) return Missing(settings_, words_, *name);
    auto answer = ParseRequest((*row)->request);
    if (!answer.ok()) return answer.error();
    answer->erase("Tags");
    (*answer)[words_.arn_member] = Arn(*name);
    (*answer)["CreationTime"] = JsonTime((*row)->created);
    return answer;
  }

  Outcome<Json> Delete(const Json& request) const {
    auto name = NameIn(request);
    if (!name.ok()) return name.error();
    return state_.Change<Json>([&](Database& database) -> Outcome<Json> {
      auto deleted = DeleteNamed(database, words_.kind, *name);
      if (!deleted.ok()) return deleted.error();
      if (!*deleted) return Missing(settings_, words_, *name);
      if (Done dropped = DropTags(database, Arn(*name)); !dropped.ok()) return dropped.error();
      return Json::object();
    });
  }

  Outcome<Json> List(const Json& request) const {
    auto items = state_.Read<std::vector<Listed>>(
        [&](Database& database) { return ListNamed(database, words_.kind); });
    if (!items.ok()) return items.error();
    auto page = SelectPage(request, *std::move(items));
    if (!page.ok()) return page.error();
    Json list = Json::array();
    for (const Listed& item : page->items) {
      list.push_back({{words_.name, item.name},
                      {words_.arn_member, Arn(item.name)},
                      {"CreationTime", JsonTime(item.created)}});
    }
    Json answer{{words_.list_member, std::move(list)}};
    if (!page->next_token.empty()) answer["NextToken"] = page->next_token;
    return answer;
  }

 private:
  const Settings& settings_;
  State& state_;
  Words words_;
};

Outcome<Json> CreateModel(const Keeper& keeper, const ObjectStore& store, const Json& request,
                          const std::string& body) {
  RequestReader reader(request);
  const std::string name = reader.Text("ModelName", Presence::kRequired, ModelNameRule());
  reader.Text("ExecutionRoleArn", Presence::kOptional, RoleArnRule());
  const ContainerPlan container = ReadContainer(reader);
  reader.Flag("EnableNetworkIsolation");
  const auto tags = reader.Tags();
  if (auto failure = reader.failure()) return *failure;
  if (Done found = CheckModelData(store, container); !found.ok()) return found.error();
  return keeper.Create({name, Now(), body}, tags);
}

Outcome<Json> CreateConfig(const Keeper& keeper, const Settings& settings, const State& state,
                           const Json& request, const std::string& body) {
  RequestReader reader(request);
  const std::string name = reader.Text("EndpointConfigName", Presence::kRequired, NameRule());
  const std::vector<VariantPlan> variants = ReadVariants(reader);
  ReadAsync(reader);
  const auto tags = reader.Tags();
  if (auto failure = reader.failure()) return *failure;
  for (const VariantPlan& variant : variants) {
    auto model = state.Read<std::optional<NamedRow>>(
        [&](Database& database) { return FindNamed(database, NamedKind::kModel, variant.model); });
    if (!model.ok()) return model.error();
    if (!*model) return NoSuchModel(settings, variant.model);
  }
  return keeper.Create({name, Now(), body}, tags);
}

}  // namespace

Failure NoSuchModel(const Settings& settings, const std::string& name) {
  return Missing(settings, WordsOf(NamedKind::kModel), name);
}

Failure NoSuchConfig(const Settings& settings, const std::string& name) {
  return Missing(settings, WordsOf(NamedKind::kEndpointConfig), name);
}

JsonService::Operations ModelOperations(const Settings& settings, State& state,
                                        const ObjectStore& store) {
  const auto models = std::make_shared<Keeper>(settings, state, WordsOf(NamedKind::kModel));
  const auto configs =
      std::make_shared<Keeper>(settings, state, WordsOf(NamedKind::kEndpointConfig));
  JsonService::Operations operations;
  for (const auto& [keeper, thing] : {std::pair(models, std::string("Model")),
                                      std::pair(configs, std::string("EndpointConfig"))}) {
    const auto bind = [keeper = keeper](auto operation) {
      return ParsedOperation([keeper, operation](const Json& request, const std::string&) {
        return (keeper.get()->*operation)(request);
      });
    };
    operations["Describe" + thing] = bind(&Keeper::Describe);
    operations["Delete" + thing] = bind(&Keeper::Delete);
    operations["List" + thing + "s"] = bind(&Keeper::List);
  }
  operations["CreateModel"] =
      ParsedOperation([models, &store](const Json& request, const std::string& body) {
        return CreateModel(*models, store, request, body);
      });
  operations["CreateEndpointConfig"] =
      ParsedOperation([configs, &settings, &state](const Json& request, const std::string& body) {
        return CreateConfig(*configs, settings, state, request, body);
      });
  return operations;
}

}  // namespace bertie::cloud
