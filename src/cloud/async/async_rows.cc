#include "cloud/async/async_rows.h"

#include <string_view>

#include "cloud/s3/object_rows.h"

namespace bertie::cloud {
namespace {

std::string TextOf(const std::optional<S3Uri>& uri) { return uri ? uri->Text() : ""; }

}  // namespace

SchemaPart AsyncSchema() {
  return {"async_requests", {R"(
CREATE TABLE async_requests(
  id INTEGER PRIMARY KEY AUTOINCREMENT, endpoint BLOB NOT NULL, endpoint_created INTEGER NOT NULL,
  inference_id BLOB NOT NULL, input BLOB NOT NULL, body BLOB NOT NULL, fields BLOB NOT NULL,
  time_limit INTEGER NOT NULL, expires INTEGER NOT NULL, output BLOB NOT NULL,
  failure BLOB NOT NULL) STRICT;
)"}};
}

Done InsertAsync(Database& database, AsyncRequest& request, const std::string& body) {
  const std::string input = TextOf(request.input);
  const std::string fields = WriteFields(request.fields);
  const std::string output = request.output.Text();
  const std::string failure = TextOf(request.failure);
  BERTIE_RETURN_IF_ERROR(database.Run(
      "INSERT INTO async_requests(endpoint, endpoint_created, inference_id, input, body, fields, "
      "time_limit, expires, output, failure) VALUES(?,?,?,?,?,?,?,?,?,?)",
      {View(request.endpoint), request.endpoint_created, View(request.inference_id), View(input),
       View(body), View(fields), int64_t{request.time_limit.count()}, request.expires, View(output),
       View(failure)}));
  request.id = database.LastRow();
  return std::monostate();
}

Outcome<std::vector<AsyncRequest>> ReadAsyncRequests(Database& database) {
  BERTIE_ASSIGN_OR_RETURN(
      Rows rows,
      database.Query("SELECT id, endpoint, endpoint_created, inference_id, input, fields, "
                     "time_limit, expires, output, failure FROM async_requests ORDER BY id"));
  std::vector<AsyncRequest> requests;
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return requests;
    requests.push_back({.id = rows.Int(0),
                        .endpoint = rows.Text(1),
                        .endpoint_created = rows.Int(2),
                        .inference_id = rows.Text(3),
                        .input = S3Uri::Parse(rows.Text(4)),
                        .fields = ReadFields(rows.Text(5)),
                        .time_limit = std::chrono::seconds(rows.Int(6)),
                        .expires = rows.Int(7),
                        .output = S3Uri::Parse(rows.Text(8)).value_or(S3Uri()),
                        .failure = S3Uri::Parse(rows.Text(9))});
  }
}

Outcome<std::string> ReadAsyncBody(Database& database, int64_t id) {
  BERTIE_ASSIGN_OR_RETURN(Rows rows,
                          database.Query("SELECT body FROM async_requests WHERE id=?", {id}));
  BERTIE_ASSIGN_OR_RETURN(const bool there, rows.Next());
  return there ? rows.Text(0) : std::string();
}

Done DeleteAsync(Database& database, int64_t id) {
  BERTIE_RETURN_IF_ERROR(database.Run("DELETE FROM async_requests WHERE id=?", {id}));
  return std::monostate();
}

}  // namespace bertie::cloud
