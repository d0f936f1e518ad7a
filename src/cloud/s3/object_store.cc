#include "cloud/s3/object_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/directory.h"
#include "base/encoding.h"
#include "base/hmac.h"
#include "cloud/s3/object_rows.h"

namespace bertie::cloud {

namespace fs = std::filesystem;

Failure NoSuchBucket() { return {"NoSuchBucket", "The specified bucket does not exist"}; }

bool NamesEtag(const std::string& list, const std::string& etag) {
  if (list == "*") return true;
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    std::string item = list.substr(at, end - at);
    item.erase(
        std::remove_if(item.begin(), item.end(), [](char c) { return c == ' ' || c == '"'; }),
        item.end());
    if (item == etag) return true;
    at = end + 1;
  }
  return false;
}

Result<ObjectStore::Reader> ObjectStore::OpenReader() const {
  std::unique_ptr<Database> database;
  {
    std::lock_guard lock(readers_mutex_);
    if (!readers_.empty()) {
      database = std::move(readers_.back());
      readers_.pop_back();
    }
  }
  if (!database) {
    BERTIE_ASSIGN_OR_RETURN(database, Database::Open(database_path_, Database::Mode::kRead));
  }
  return Reader(*this, std::move(database));
}

Result<std::unique_ptr<ObjectStore>> ObjectStore::Open(
    const fs::path& folder, const std::function<void(std::string_view)>& log) {
  BERTIE_RETURN_IF_ERROR(MakeFolders(folder));
  const fs::path lock = folder / "lock";
  const int lock_fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd < 0) return FileError(errno, lock, "open");
  if (::flock(lock_fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_fd);
    return Error{ErrorCode::kUnavailable,
                 folder.string() +
                     " is in use by another bertie cloud; end that one, or take "
                     "another folder with --data"};
  }
  auto blobs = BlobFiles::Open(folder / "objects");
  if (!blobs.ok()) {
    ::close(lock_fd);
    return blobs.error();
  }
  std::unique_ptr<ObjectStore> store(new ObjectStore(*std::move(blobs), folder / "state.db"));
  store->lock_fd_ = lock_fd;
  BERTIE_ASSIGN_OR_RETURN(std::unique_ptr<Database> database,
                          Database::Open(store->database_path_, Database::Mode::kWrite));
  BERTIE_RETURN_IF_ERROR(database->Script(kSchema));
  store->commits_ = std::make_unique<CommitQueue>(std::move(database));
  BERTIE_RETURN_IF_ERROR(store->LoadBuckets());
  BERTIE_ASSIGN_OR_RETURN(const int64_t swept, store->Sweep());
  if (swept > 0) {
    log("removed " + std::to_string(swept) + (swept == 1 ? " file" : " files") +
        " that an interrupted run left");
  }
  return store;
}

ObjectStore::~ObjectStore() {
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

Result<int64_t> ObjectStore::Sweep() const {
  BERTIE_ASSIGN_OR_RETURN(Reader reader, OpenReader());
  return blobs_.Sweep(
      [&](const std::string& name) { return IsKnownBlob(reader.database(), name); });
}

void ObjectStore::RemoveBlobs(const std::vector<std::string>& names) const {
  for (const std::string& name : names) blobs_.Remove(name);
}

Status ObjectStore::LoadBuckets() {
  BERTIE_ASSIGN_OR_RETURN(Reader reader, OpenReader());
  BERTIE_ASSIGN_OR_RETURN(Rows rows,
                          reader.database().Query("SELECT name, region, created FROM buckets"));
  while (true) {
    BERTIE_ASSIGN_OR_RETURN(const bool more, rows.Next());
    if (!more) return {};
    Bucket bucket{rows.Text(0), rows.Text(1), rows.Int(2)};
    buckets_.emplace(bucket.name, bucket);
  }
}

std::optional<Bucket> ObjectStore::FindBucket(const std::string& name) const {
  std::shared_lock lock(buckets_mutex_);
  const auto found = buckets_.find(name);
  return found == buckets_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<Bucket> ObjectStore::Buckets() const {
  std::shared_lock lock(buckets_mutex_);
  std::vector<Bucket> buckets;
  for (const auto& [name, bucket] : buckets_) buckets.push_back(bucket);
  return buckets;
}

Done ObjectStore::CreateBucket(const std::string& name, const std::string& region) {
  const Bucket bucket{name, region, Now()};
  bool added = false;
  // Changes of buckets change the map too, in the order of the commits.
  Done done = Change<std::monostate>([&](Database& database) -> Done {
    std::unique_lock lock(buckets_mutex_);
    if (buckets_.contains(name)) {
      return Failure("BucketAlreadyOwnedByYou",
                     "Your previous request to create the named bucket succeeded and you already "
                     "own it.");
    }
    BERTIE_RETURN_IF_ERROR(database.Run("INSERT INTO buckets(name, region, created) VALUES(?,?,?)",
                                        {View(name), View(region), bucket.created}));
    added = buckets_.emplace(name, bucket).second;
    return std::monostate();
  });
  if (!done.ok() && added) {
    std::unique_lock lock(buckets_mutex_);
    buckets_.erase(name);
  }
  return done;
}

Done ObjectStore::DeleteBucket(const std::string& name) {
  std::vector<std::string> dropped;
  std::optional<Bucket> removed;
  Done done = Change<std::monostate>([&](Database& database) -> Done {
    std::unique_lock lock(buckets_mutex_);
    if (!buckets_.contains(name)) return NoSuchBucket();
    std::vector<std::string> uploads;
    {
      BERTIE_ASSIGN_OR_RETURN(
          Rows rows, database.Query("SELECT 1 FROM objects WHERE bucket=? LIMIT 1", {View(name)}));
      BERTIE_ASSIGN_OR_RETURN(const bool any, rows.Next());
      if (any) {
        return Failure("BucketNotEmpty", "The bucket you tried to delete is not empty");
      }
      BERTIE_ASSIGN_OR_RETURN(
          Rows ids, database.Query("SELECT id FROM uploads WHERE bucket=?", {View(name)}));
      while (true) {
        BERTIE_ASSIGN_OR_RETURN(const bool more, ids.Next());
        if (!more) break;
        uploads.push_back(ids.Text(0));
      }
    }
    for (const std::string& upload : uploads) {
      if (Done one = DropUpload(database, upload, dropped); !one.ok()) return one;
    }
    BERTIE_RETURN_IF_ERROR(database.Run("DELETE FROM buckets WHERE name=?", {View(name)}));
    removed = std::move(buckets_.extract(name).mapped());
    return std::monostate();
  });
  if (done.ok()) {
    RemoveBlobs(dropped);
  } else if (removed) {
    std::unique_lock lock(buckets_mutex_);
    buckets_.emplace(name, *removed);
  }
  return done;
}

Outcome<Object> ObjectStore::Put(const std::string& bucket, const std::string& key,
                                 BlobWriter& blob, const Attributes& attributes,
                                 const WriteConditions& conditions, const AlsoChange& also) {
  BERTIE_RETURN_IF_ERROR(blob.Keep());
  Object object{.key = key,
                .size = blob.size(),
                .modified = Now(),
                .attributes = attributes,
                .bytes = blob.bytes(),
                .segments = {}};
  if (!blob.name().empty()) object.segments.push_back({blob.name(), blob.size()});
  std::vector<std::string> dropped;
  Outcome<Object> outcome = Change<Object>([&](Database& database) -> Outcome<Object> {
    Done done = ReplaceObject(database, bucket, object, conditions, dropped);
    if (done.ok() && also) done = also(database);
    if (!done.ok()) return done.error();
    return object;
  });
  if (!outcome.ok()) return outcome;
  blob.Release();
  RemoveBlobs(dropped);
  return outcome;
}

Outcome<Object> ObjectStore::Copy(const Object& source, const std::string& bucket,
                                  const std::string& key, const Attributes& attributes,
                                  const WriteConditions& conditions) {
  Object object = source;
  object.key = key;
  object.modified = Now();
  object.attributes = attributes;
  std::vector<std::string> dropped;
  Outcome<Object> outcome = Change<Object>([&](Database& database) -> Outcome<Object> {
    // Removed since it was found: its files may be gone.
    for (const Segment& segment : source.segments) {
      BERTIE_ASSIGN_OR_RETURN(const bool known, IsKnownBlob(database, segment.blob));
      if (!known) return Failure("NoSuchKey", "The specified key does not exist.");
    }
    Done done = ReplaceObject(database, bucket, object, conditions, dropped);
    if (!done.ok()) return done.error();
    // A copy onto itself: what was dropped is in use again.
    std::erase_if(dropped, [&](const std::string& blob) {
      return std::any_of(source.segments.begin(), source.segments.end(),
                         [&](const Segment& segment) { return segment.blob == blob; });
    });
    return object;
  });
  if (outcome.ok()) RemoveBlobs(dropped);
  return outcome;
}

Outcome<Object> ObjectStore::Find(const std::string& bucket, const std::string& key) const {
  if (!FindBucket(bucket)) return NoSuchBucket();
  BERTIE_ASSIGN_OR_RETURN(Reader reader, OpenReader());
  BERTIE_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(reader.database(), false));
  return FindObject(reader.database(), bucket, key);
}

Outcome<ObjectStore::Content> ObjectStore::Read(const Object& object, uint64_t begin,
                                                uint64_t size) const {
  Content content;
  if (object.segments.empty()) {
    content.bytes = object.bytes.substr(static_cast<size_t>(begin), static_cast<size_t>(size));
    return content;
  }
  for (const Segment& segment : object.segments) {
    if (begin >= segment.size) {
      begin -= segment.size;
      continue;
    }
    const uint64_t take = std::min(size, segment.size - begin);
    if (take == 0) break;
    auto file = blobs_.Read(segment.blob);
    if (!file.ok()) {
      if (file.error().code != ErrorCode::kNotFound) return Failure(file.error());
      return Failure("NoSuchKey", "The specified key does not exist.");
    }
    content.files.push_back({*std::move(file), begin, take});
    size -= take;
    begin = 0;
  }
  return content;
}

Done ObjectStore::Delete(const std::string& bucket, const std::vector<std::string>& keys) {
  if (!FindBucket(bucket)) return NoSuchBucket();
  std::vector<std::string> dropped;
  Done done = Change<std::monostate>([&](Database& database) -> Done {
    for (const std::string& key : keys) {
      if (Done one = DropObject(database, bucket, key, dropped); !one.ok()) return one;
    }
    return std::monostate();
  });
  if (done.ok()) RemoveBlobs(dropped);
  return done;
}

Outcome<Listing> ObjectStore::List(const std::string& bucket, const ListOptions& options) const {
  if (!FindBucket(bucket)) return NoSuchBucket();
  BERTIE_ASSIGN_OR_RETURN(Reader reader, OpenReader());
  BERTIE_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(reader.database(), false));
  return ListObjects(reader.database(), bucket, options);
}

}  // namespace bertie::cloud
