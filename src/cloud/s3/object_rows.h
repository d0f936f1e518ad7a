// The rows behind ObjectStore. Internal to it.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cloud/database.h"
#include "cloud/s3/object_store.h"

namespace bertie::cloud {

// Names and keys are blobs: compared byte by byte, as S3 orders keys, and free to hold any byte.
inline constexpr char kSchema[] = R"(
CREATE TABLE IF NOT EXISTS buckets(
  name BLOB PRIMARY KEY, region BLOB NOT NULL, created INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects(
  id INTEGER PRIMARY KEY AUTOINCREMENT, bucket BLOB NOT NULL, key BLOB NOT NULL,
  size INTEGER NOT NULL, modified INTEGER NOT NULL, etag BLOB NOT NULL, fields BLOB NOT NULL,
  checksum_algorithm BLOB NOT NULL, checksum BLOB NOT NULL, checksum_composite INTEGER NOT NULL,
  upload BLOB NOT NULL, bytes BLOB NOT NULL, UNIQUE(bucket, key)) STRICT;
CREATE TABLE IF NOT EXISTS segments(
  object INTEGER NOT NULL, position INTEGER NOT NULL, blob BLOB NOT NULL, size INTEGER NOT NULL,
  PRIMARY KEY(object, position)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS segments_blob ON segments(blob);
CREATE TABLE IF NOT EXISTS uploads(
  id BLOB PRIMARY KEY, bucket BLOB NOT NULL, key BLOB NOT NULL, created INTEGER NOT NULL,
  fields BLOB NOT NULL, checksum_algorithm BLOB NOT NULL, checksum_composite INTEGER NOT NULL)
  STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts(
  upload BLOB NOT NULL, number INTEGER NOT NULL, blob BLOB NOT NULL, size INTEGER NOT NULL,
  modified INTEGER NOT NULL, etag BLOB NOT NULL, checksum BLOB NOT NULL,
  PRIMARY KEY(upload, number)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parts_blob ON parts(blob);
)";

// Text as a statement's parameter; it must outlive the statement's rows.
inline std::string_view View(const std::string& text) { return text; }

// Columns that ReadObject takes, from column 0 on, after key.
inline constexpr char kObjectColumns[] =
    "key, size, modified, etag, fields, checksum_algorithm, checksum, checksum_composite, "
    "upload";
Object ReadObject(const Rows& rows);

// As lines "Name:value".
std::string WriteFields(const Fields& fields);
Fields ReadFields(const std::string& text);

// All of these run inside a transaction.

// Puts the object in the place of the one of its key, if the conditions hold for that one.
// dropped: blobs that nothing refers to any more, to be removed after the commit.
Done ReplaceObject(Database& database, const std::string& bucket, const Object& object,
                   const WriteConditions& conditions, std::vector<std::string>& dropped);
Done DropObject(Database& database, const std::string& bucket, const std::string& key,
                std::vector<std::string>& dropped);
Done DropUpload(Database& database, const std::string& id, std::vector<std::string>& dropped);
Outcome<Object> FindObject(Database& database, const std::string& bucket, const std::string& key);
Outcome<std::string> PartBlob(Database& database, const std::string& upload, const Part& part);
Outcome<Listing> ListObjects(Database& database, const std::string& bucket,
                             const ListOptions& options);
Result<bool> IsKnownBlob(Database& database, const std::string& name);

// A connection to read by, borrowed.
class ObjectStore::Reader {
 public:
  // More are kept open by nobody; further ones are made when more threads read at once.
  static constexpr size_t kKept = 4;

  Reader(const ObjectStore& store, std::unique_ptr<Database> database)
      : store_(&store), database_(std::move(database)) {}
  Reader(Reader&&) = default;
  Reader& operator=(Reader&&) = delete;
  ~Reader() {
    if (!database_) return;
    std::lock_guard lock(store_->readers_mutex_);
    if (store_->readers_.size() < kKept) store_->readers_.push_back(std::move(database_));
  }
  Database& database() { return *database_; }

 private:
  const ObjectStore* store_;
  std::unique_ptr<Database> database_;
};

template <class T>
Outcome<T> ObjectStore::Change(const std::function<Outcome<T>(Database&)>& change) {
  std::optional<Outcome<T>> outcome;
  const Status status = commits_->Run([&](Database& database) {
    outcome.emplace(change(database));
    return outcome->ok();
  });
  if (!status.ok()) return Failure(status.error());
  return *std::move(outcome);
}

}  // namespace bertie::cloud
