#include "cloud/database.h"

#include <sqlite3.h>

#include <utility>

namespace bertie::cloud {
namespace {

Error DatabaseError(sqlite3* database, const std::string& path) {
  const int code = sqlite3_errcode(database);
  const bool full = code == SQLITE_FULL || code == SQLITE_NOMEM;
  return {full ? ErrorCode::kResourceExhausted : ErrorCode::kIo,
          path + ": " + sqlite3_errmsg(database)};
}

// Pages of the database kept in memory by each connection, in kB.
constexpr char kSettings[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
    "PRAGMA cache_size=-4096; PRAGMA temp_store=MEMORY;";

}  // namespace

Rows::Rows(Rows&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}

Rows::~Rows() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Result<bool> Rows::Next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return DatabaseError(database_, sqlite3_db_filename(database_, "main"));
}

int64_t Rows::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Rows::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string()
                          : std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool Rows::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Result<std::unique_ptr<Database>> Database::Open(const std::filesystem::path& path, Mode mode) {
  std::unique_ptr<Database> database(new Database());
  database->path_ = path.string();
  const int flags =
      SQLITE_OPEN_NOMUTEX |
      (mode == Mode::kWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READWRITE);
  if (sqlite3_open_v2(path.c_str(), &database->database_, flags, nullptr) != SQLITE_OK) {
    return database->database_ == nullptr
               ? Error{ErrorCode::kResourceExhausted, path.string() + ": no memory to open it"}
               : DatabaseError(database->database_, database->path_);
  }
  sqlite3_busy_timeout(database->database_, 10'000);
  BERTIE_RETURN_IF_ERROR(database->Script(kSettings));
  if (mode == Mode::kRead) BERTIE_RETURN_IF_ERROR(database->Script("PRAGMA query_only=ON;"));
  return database;
}

Database::~Database() {
  for (auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
  sqlite3_close(database_);
}

Status Database::Script(const std::string& sql) {
  if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return DatabaseError(database_, path_);
  }
  return {};
}

Result<sqlite3_stmt*> Database::Prepare(const std::string& sql,
                                        std::initializer_list<Value> values) {
  sqlite3_stmt*& statement = prepared_[sql];
  if (statement == nullptr &&
      sqlite3_prepare_v3(database_, sql.c_str(), static_cast<int>(sql.size() + 1),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return DatabaseError(database_, path_);
  }
  int index = 0;
  for (const Value& value : values) {
    ++index;
    int code = SQLITE_OK;
    if (const auto* number = std::get_if<int64_t>(&value)) {
      code = sqlite3_bind_int64(statement, index, *number);
    } else if (const auto* text = std::get_if<std::string_view>(&value)) {
      // A null pointer would bind NULL.
      const char* bytes = text->empty() ? "" : text->data();
      code = sqlite3_bind_blob64(statement, index, bytes, text->size(), SQLITE_TRANSIENT);
    } else {
      code = sqlite3_bind_null(statement, index);
    }
    if (code != SQLITE_OK) return DatabaseError(database_, path_);
  }
  return statement;
}

Status Database::Run(const std::string& sql, std::initializer_list<Value> values) {
  BERTIE_ASSIGN_OR_RETURN(Rows rows, Query(sql, values));
  BERTIE_ASSIGN_OR_RETURN([[maybe_unused]] const bool row, rows.Next());
  return {};
}

Result<Rows> Database::Query(const std::string& sql, std::initializer_list<Value> values) {
  BERTIE_ASSIGN_OR_RETURN(sqlite3_stmt * statement, Prepare(sql, values));
  return Rows(database_, statement);
}

int64_t Database::Changes() const { return sqlite3_changes64(database_); }
int64_t Database::LastRow() const { return sqlite3_last_insert_rowid(database_); }

Result<Transaction> Transaction::Begin(Database& database, bool write) {
  BERTIE_RETURN_IF_ERROR(database.Run(write ? "BEGIN IMMEDIATE" : "BEGIN"));
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  // After some errors SQLite has rolled back already, and says so; there is nothing more to do.
  if (database_ != nullptr) static_cast<void>(database_->Run("ROLLBACK").ok());
}

Status Transaction::Commit() {
  Database& database = *database_;
  BERTIE_RETURN_IF_ERROR(database.Run("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace bertie::cloud
