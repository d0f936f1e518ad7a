#include "cloud/transform/transform_rows.h"

#include <string_view>
#include <utility>

namespace bertie::cloud {
namespace {

using View = std::string_view;

Outcome<std::vector<TransformRecord>> ReadAll(Rows rows) {
  std::vector<TransformRecord> records;
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return records;
    records.push_back({.name = rows.Text(0),
                       .created = rows.Int(1),
                       .modified = rows.Int(2),
                       .status = rows.Text(3),
                       .request = rows.Text(4),
                       .deployment = rows.Text(5),
                       .started = rows.Int(6),
                       .ended = rows.Int(7),
                       .failure = rows.Text(8)});
  }
}

Outcome<std::vector<TransformRecord>> Load(Database& database) {
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows, database.Query("SELECT name, created, modified, status, request, deployment, "
                                "started, ended, failure FROM transform_jobs ORDER BY name"));
  return ReadAll(std::move(rows));
}

Outcome<TransformRecord> LoadOne(Database& database, const std::string& name) {
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows, database.Query("SELECT name, created, modified, status, request, deployment, "
                                "started, ended, failure FROM transform_jobs WHERE name=?",
                                {View(name)}));
  auto records = ReadAll(std::move(rows));
  if (!records.ok()) return records.error();
  if (records->empty()) return Failure("ValidationException", "Requested resource not found.");
  return std::move(records->front());
}

Done Save(Database& database, const TransformRecord& record) {
  BERTIE_RETURN_IF_ERROR(database.Run(
      "INSERT OR REPLACE INTO transform_jobs(name, created, modified, status, request, deployment, "
      "started, ended, failure) VALUES(?,?,?,?,?,?,?,?,?)",
      {View(record.name), record.created, record.modified, View(record.status),
       View(record.request), View(record.deployment), record.started, record.ended,
       View(record.failure)}));
  return std::monostate();
}

}  // namespace

SchemaPart TransformSchema() {
  return {"transform_jobs", {R"(
CREATE TABLE transform_jobs(
  name BLOB PRIMARY KEY, created INTEGER NOT NULL, modified INTEGER NOT NULL,
  status BLOB NOT NULL, request BLOB NOT NULL, deployment BLOB NOT NULL,
  started INTEGER NOT NULL, ended INTEGER NOT NULL, failure BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE transform_outputs(
  job BLOB NOT NULL, key BLOB NOT NULL, PRIMARY KEY(job, key)) STRICT, WITHOUT ROWID;
)"}};
}

Done AddTransform(State& state, const TransformRecord& record,
                  const std::function<Done(const std::vector<TransformRecord>&)>& admit,
                  const std::function<Done(Database&)>& also) {
  return state.Change<std::monostate>([&](Database& database) -> Done {
    auto others = Load(database);
    if (!others.ok()) return others.error();
    if (Done done = admit(*others); !done.ok()) return done;
    if (Done done = Save(database, record); !done.ok()) return done;
    return also(database);
  });
}

Outcome<std::vector<TransformRecord>> AllTransforms(const State& state) {
  return state.Read<std::vector<TransformRecord>>(Load);
}

Outcome<TransformRecord> FindTransform(const State& state, const std::string& name) {
  return state.Read<TransformRecord>([&](Database& database) { return LoadOne(database, name); });
}

Done ChangeTransform(State& state, const std::string& name,
                     const std::function<Done(TransformRecord&)>& change) {
  return state.Change<std::monostate>([&](Database& database) -> Done {
    auto record = LoadOne(database, name);
    if (!record.ok()) return record.error();
    if (Done done = change(*record); !done.ok()) return done;
    record->modified = Now();
    return Save(database, *record);
  });
}

Outcome<std::set<std::string>> WrittenOutputs(const State& state, const std::string& job) {
  return state.Read<std::set<std::string>>(
      [&](Database& database) -> Outcome<std::set<std::string>> {
        std::set<std::string> keys;
        BERTIE_ASSIGN_OR_RETURN(
            Rows rows,
            database.Query("SELECT key FROM transform_outputs WHERE job=?", {View(job)}));
        while (true) {
          BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
          if (!more) return keys;
          keys.insert(rows.Text(0));
        }
      });
}

Done MarkOutput(Database& database, const std::string& job, const std::string& key) {
  BERTIE_RETURN_IF_ERROR(database.Run(
      "INSERT OR IGNORE INTO transform_outputs(job, key) VALUES(?,?)", {View(job), View(key)}));
  return std::monostate();
}

}  // namespace bertie::cloud
