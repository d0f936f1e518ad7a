#include "cloud/tags.h"

#include <string_view>
#include <utility>
#include <vector>

#include "cloud/request_reader.h"

namespace bertie::cloud {
namespace {

using formats::Json;
using Tags = std::map<std::string, std::string>;

constexpr size_t kMaxTags = 50;

std::string ArnIn(RequestReader& reader) {
  return reader.Text("ResourceArn", Presence::kRequired, {.max = 256, .pattern = "arn:.*"});
}

Outcome<Tags> TagsOf(Database& database, const std::string& arn) {
  Tags tags;
  BERTIE_ASSIGN_OR_RETURN(Rows rows, database.Query("SELECT key, value FROM tags WHERE arn=?",
                                                    {std::string_view(arn)}));
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return tags;
    tags[rows.Text(0)] = rows.Text(1);
  }
}

Json ToJson(const Tags& tags) {
  Json list = Json::array();
  for (const auto& [key, value] : tags) list.push_back({{"Key", key}, {"Value", value}});
  return list;
}

Outcome<Json> List(State& state, const Json& json) {
  RequestReader reader(json);
  const std::string arn = ArnIn(reader);
  if (auto failure = reader.failure()) return *failure;
  auto tags = state.Read<Tags>([&](Database& database) { return TagsOf(database, arn); });
  if (!tags.ok()) return tags.error();
  return Json{{"Tags", ToJson(*tags)}};
}

Outcome<Json> Add(State& state, const Json& json) {
  RequestReader reader(json);
  const std::string arn = ArnIn(reader);
  const Tags tags = reader.Tags(Presence::kRequired);
  if (auto failure = reader.failure()) return *failure;
  if (Done done = AddTags(state, arn, tags); !done.ok()) return done.error();
  return List(state, {{"ResourceArn", arn}});
}

Outcome<Json> Delete(State& state, const Json& json) {
  RequestReader reader(json);
  const std::string arn = ArnIn(reader);
  const auto keys = reader.Texts("TagKeys", Presence::kRequired, 1, kMaxTags, {.max = 128});
  if (auto failure = reader.failure()) return *failure;
  Done done = state.Change<std::monostate>([&](Database& database) -> Done {
    for (const std::string& key : keys) {
      BERTIE_RETURN_IF_ERROR(database.Run("DELETE FROM tags WHERE arn=? AND key=?",
                                          {std::string_view(arn), std::string_view(key)}));
    }
    return std::monostate();
  });
  if (!done.ok()) return done.error();
  return Json::object();
}

}  // namespace

SchemaPart TagSchema() {
  return {.name = "tags",
          .steps = {"CREATE TABLE tags(arn BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, "
                    "PRIMARY KEY(arn, key)) STRICT, WITHOUT ROWID;"}};
}

Done AddTags(Database& database, const std::string& arn, const Tags& tags) {
  if (tags.empty()) return std::monostate();
  for (const auto& [key, value] : tags) {
    BERTIE_RETURN_IF_ERROR(
        database.Run("INSERT OR REPLACE INTO tags(arn, key, value) VALUES(?,?,?)",
                     {std::string_view(arn), std::string_view(key), std::string_view(value)}));
  }
  auto all = TagsOf(database, arn);
  if (!all.ok()) return all.error();
  if (all->size() > kMaxTags) {
    return Failure("ResourceLimitExceeded", "at most " + std::to_string(kMaxTags) +
                                                " tags; with these they would be " +
                                                std::to_string(all->size()));
  }
  return std::monostate();
}

Done AddTags(State& state, const std::string& arn, const Tags& tags) {
  if (tags.empty()) return std::monostate();
  return state.Change<std::monostate>(
      [&](Database& database) { return AddTags(database, arn, tags); });
}

Done DropTags(Database& database, const std::string& arn) {
  BERTIE_RETURN_IF_ERROR(database.Run("DELETE FROM tags WHERE arn=?", {std::string_view(arn)}));
  return std::monostate();
}

Done DropTags(State& state, const std::string& arn) {
  return state.Change<std::monostate>([&](Database& database) { return DropTags(database, arn); });
}

std::map<std::string, JsonService::Operation> TagOperations(State& state) {
  const auto operation = [&state](auto function) {
    return ParsedOperation(
        [&state, function](const Json& json, const std::string&) { return function(state, json); });
  };
  return {{"ListTags", operation(List)},
          {"AddTags", operation(Add)},
          {"DeleteTags", operation(Delete)}};
}

}  // namespace bertie::cloud
