// SQLite, as the cloud's state uses it: write-ahead log, every commit on the disk before it counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace bertie::cloud {

// What is bound to a statement's parameters; a string_view lives until the row is read.
using Value = std::variant<std::nullptr_t, int64_t, std::string_view>;

// The rows of a query. Steps to the first by Next.
class Rows {
 public:
  Rows(sqlite3* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  ~Rows();
  Rows(Rows&& other) noexcept;
  Rows& operator=(Rows&&) = delete;

  // True: a row is there to be read. False: there is none more.
  Result<bool> Next();
  // Columns from 0. Text of a null is empty.
  int64_t Int(int column) const;
  std::string Text(int column) const;
  bool IsNull(int column) const;

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_;
};

// One thread at a time. Errors name the file: kIo, or kResourceExhausted for a full disk.
class Database {
 public:
  enum class Mode { kWrite, kRead };
  // kWrite makes the file when it is not there.
  static Result<std::unique_ptr<Database>> Open(const std::filesystem::path& path, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Several statements without parameters.
  Status Script(const std::string& sql);
  // One statement, whose text is kept prepared: it must come from a fixed set. Text is bound as a
  // blob, so that keys compare byte by byte and may hold any.
  Status Run(const std::string& sql, std::initializer_list<Value> values = {});
  // Only one Rows of the same text at a time.
  Result<Rows> Query(const std::string& sql, std::initializer_list<Value> values = {});
  // Rows that the last Run changed.
  int64_t Changes() const;
  int64_t LastRow() const;

 private:
  Database() = default;
  Result<sqlite3_stmt*> Prepare(const std::string& sql, std::initializer_list<Value> values);

  sqlite3* database_ = nullptr;
  std::string path_;
  std::map<std::string, sqlite3_stmt*, std::less<>> prepared_;
};

// Everything between Begin and Commit happens or does not. Rolls back when it is destroyed before.
class Transaction {
 public:
  static Result<Transaction> Begin(Database& database, bool write = true);
  ~Transaction();
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;

  Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;  // null once it has ended
};

}  // namespace bertie::cloud
