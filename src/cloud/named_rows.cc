#include "cloud/named_rows.h"

namespace bertie::cloud {
namespace {

// Statements come from a fixed set, of each of which there is one for a kind.
const char* Pick(NamedKind kind, const char* model, const char* config) {
  return kind == NamedKind::kModel ? model : config;
}

}  // namespace

SchemaPart NamedSchema() {
  return {"models", {R"(
CREATE TABLE models(
  name BLOB PRIMARY KEY, created INTEGER NOT NULL, request BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE endpoint_configs(
  name BLOB PRIMARY KEY, created INTEGER NOT NULL, request BLOB NOT NULL) STRICT, WITHOUT ROWID;
)"}};
}

Outcome<std::optional<NamedRow>> FindNamed(Database& database, NamedKind kind,
                                           const std::string& name) {
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows, database.Query(Pick(kind, "SELECT created, request FROM models WHERE name=?",
                                     "SELECT created, request FROM endpoint_configs WHERE name=?"),
                                {std::string_view(name)}));
  BERTIE_ASSIGN_OR_RETURN(const bool found, rows.Next());
  if (!found) return std::optional<NamedRow>();
  return std::optional(NamedRow{name, rows.Int(0), rows.Text(1)});
}

Outcome<bool> InsertNamed(Database& database, NamedKind kind, const NamedRow& row) {
  BERTIE_RETURN_IF_ERROR(database.Run(
      Pick(kind, "INSERT OR IGNORE INTO models(name, created, request) VALUES(?,?,?)",
           "INSERT OR IGNORE INTO endpoint_configs(name, created, request) VALUES(?,?,?)"),
      {std::string_view(row.name), row.created, std::string_view(row.request)}));
  return database.Changes() > 0;
}

Outcome<bool> DeleteNamed(Database& database, NamedKind kind, const std::string& name) {
  BERTIE_RETURN_IF_ERROR(database.Run(
      Pick(kind, "DELETE FROM models WHERE name=?", "DELETE FROM endpoint_configs WHERE name=?"),
      {std::string_view(name)}));
  return database.Changes() > 0;
}

Outcome<std::vector<Listed>> ListNamed(Database& database, NamedKind kind) {
  BERTIE_ASSIGN_OR_RETURN(Rows rows,
                          database.Query(Pick(kind, "SELECT name, created FROM models",
                                              "SELECT name, created FROM endpoint_configs")));
  std::vector<Listed> items;
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return items;
    items.push_back({.name = rows.Text(0), .created = rows.Int(1), .modified = rows.Int(1)});
  }
}

}  // namespace bertie::cloud
