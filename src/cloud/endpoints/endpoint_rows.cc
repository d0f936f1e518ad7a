#include "cloud/endpoints/endpoint_rows.h"

#include <string_view>

namespace bertie::cloud {

SchemaPart EndpointSchema() {
  return {"endpoints", {R"(
CREATE TABLE endpoints(
  name BLOB PRIMARY KEY, created INTEGER NOT NULL, modified INTEGER NOT NULL,
  request BLOB NOT NULL, status BLOB NOT NULL, failure BLOB NOT NULL, current BLOB NOT NULL,
  target BLOB NOT NULL) STRICT, WITHOUT ROWID;
)"}};
}

Outcome<std::vector<EndpointRow>> ReadEndpoints(Database& database) {
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows, database.Query("SELECT name, created, modified, request, status, failure, "
                                "current, target FROM endpoints ORDER BY name"));
  std::vector<EndpointRow> endpoints;
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return endpoints;
    endpoints.push_back({.name = rows.Text(0),
                         .created = rows.Int(1),
                         .modified = rows.Int(2),
                         .request = rows.Text(3),
                         .status = rows.Text(4),
                         .failure = rows.Text(5),
                         .current = rows.Text(6),
                         .target = rows.Text(7)});
  }
}

Done WriteEndpoint(Database& database, const EndpointRow& row) {
  using View = std::string_view;
  BERTIE_RETURN_IF_ERROR(database.Run(
      "INSERT OR REPLACE INTO endpoints(name, created, modified, request, status, failure, "
      "current, target) VALUES(?,?,?,?,?,?,?,?)",
      {View(row.name), row.created, row.modified, View(row.request), View(row.status),
       View(row.failure), View(row.current), View(row.target)}));
  return std::monostate();
}

Done DeleteEndpointRow(Database& database, const std::string& name) {
  BERTIE_RETURN_IF_ERROR(
      database.Run("DELETE FROM endpoints WHERE name=?", {std::string_view(name)}));
  return std::monostate();
}

}  // namespace bertie::cloud
