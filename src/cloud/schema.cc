#include "cloud/schema.h"

#include <string_view>

namespace bertie::cloud {
namespace {

Result<int64_t> VersionOf(Database& database, const std::string& part) {
  BERTIE_ASSIGN_OR_RETURN(Rows rows, database.Query("SELECT version FROM schema_parts WHERE name=?",
                                                    {std::string_view(part)}));
  BERTIE_ASSIGN_OR_RETURN(const bool there, rows.Next());
  return there ? rows.Int(0) : int64_t{0};
}

}  // namespace

Status Migrate(Database& database, const SchemaPart& part) {
  BERTIE_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database));
  BERTIE_RETURN_IF_ERROR(
      database.Script("CREATE TABLE IF NOT EXISTS schema_parts("
                      "name BLOB PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;"));
  BERTIE_ASSIGN_OR_RETURN(const int64_t version, VersionOf(database, part.name));
  const auto last = static_cast<int64_t>(part.steps.size());
  if (version > last) {
    return Error{ErrorCode::kUnsupported,
                 "the state's tables of " + part.name + " have version " + std::to_string(version) +
                     ", and this bertie knows versions up to " + std::to_string(last) +
                     ": a newer one has written them"};
  }
  if (version == last) return {};
  for (int64_t step = version; step < last; ++step) {
    BERTIE_RETURN_IF_ERROR(database.Script(part.steps[static_cast<size_t>(step)]));
  }
  BERTIE_RETURN_IF_ERROR(
      database.Run("INSERT INTO schema_parts(name, version) VALUES(?,?) "
                   "ON CONFLICT(name) DO UPDATE SET version=excluded.version",
                   {std::string_view(part.name), last}));
  return transaction.Commit();
}

}  // namespace bertie::cloud
