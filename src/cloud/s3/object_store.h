// Buckets and objects: their bytes in files, all that is known of them in a database. A change is
// on the disk before its call returns; killed at any point, the process leaves each object as it
// was or as it was to be, and files that nobody knows, which the next Open removes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "cloud/commit_queue.h"
#include "cloud/failure.h"
#include "cloud/s3/blob_files.h"
#include "cloud/times.h"
#include "http/message.h"

namespace bertie::cloud {

struct Bucket {
  std::string name;
  std::string region;
  Milliseconds created = 0;
};

Failure NoSuchBucket();

// A checksum beside the ETag, in S3's words.
struct Checksum {
  std::string algorithm = {};  // CRC32, CRC32C, CRC64NVME, SHA1, SHA256; empty: none
  std::string value = {};      // Base64; of a composite one with "-PARTS" after it
  bool composite = false;      // of the parts' checksums, not of the bytes
};

using Fields = std::vector<http::Field>;

// What a new object or part is, beside its bytes.
struct Attributes {
  std::string etag;    // without quotes
  Fields fields = {};  // given back with the object: Content-Type, x-amz-meta-..., ...
  Checksum checksum = {};
  std::string upload = {};  // the upload in parts that made it
};

// A piece of an object.
struct Segment {
  std::string blob;  // a file's name
  uint64_t size = 0;
};

struct Object {
  std::string key;
  uint64_t size = 0;
  Milliseconds modified = 0;
  Attributes attributes;
  // The bytes: of a small object here, else in files. Left out in listings.
  std::string bytes;
  std::vector<Segment> segments;
};

// RFC 9110 13.1: "*", or ETags in quotes with commas between.
struct WriteConditions {
  std::optional<std::string> if_match = {};
  std::optional<std::string> if_none_match = {};
};
// Whether a list of ETags names this one.
bool NamesEtag(const std::string& list, const std::string& etag);

struct ListOptions {
  std::string prefix = {};
  std::string delimiter = {};  // keys that hold it after the prefix are shown as one common prefix
  std::string after = {};      // begins behind this key or common prefix
  size_t max = 1000;
};
struct Listing {
  std::vector<Object> objects;
  std::vector<std::string> prefixes;
  bool truncated = false;
  std::string last;  // where it goes on, for `after`
};

struct Upload {
  std::string id = {};
  std::string key;
  Milliseconds created = 0;
  Fields fields = {};
  std::string checksum_algorithm = {};  // empty: none
  bool checksum_composite = false;
};
struct Part {
  int64_t number = 0;
  uint64_t size = 0;
  Milliseconds modified = 0;
  std::string etag;
  std::string checksum = {};  // Base64; empty: none
};

// Any thread. Failures are in S3's words: NoSuchBucket, NoSuchKey, NoSuchUpload,
// BucketAlreadyOwnedByYou, BucketNotEmpty, PreconditionFailed, InvalidPart; InternalError with the
// system's reason.
class ObjectStore {
 public:
  // Makes the folder when it is not there. kUnavailable when another process has it open.
  static Result<std::unique_ptr<ObjectStore>> Open(
      const std::filesystem::path& folder, const std::function<void(std::string_view)>& log);
  ~ObjectStore();

  // Buckets are looked up in memory.
  std::optional<Bucket> FindBucket(const std::string& name) const;
  std::vector<Bucket> Buckets() const;
  Done CreateBucket(const std::string& name, const std::string& region);
  Done DeleteBucket(const std::string& name);

  std::unique_ptr<BlobWriter> NewBlob(BlobKind kind = BlobKind::kAny) const {
    return blobs_.Create(kind);
  }
  // Another change of the state's database (cloud/state.h) that happens with the object's or not at
  // all. A failure undoes both.
  using AlsoChange = std::function<Done(Database&)>;
  // The object is seen whole or not at all. Keeps the blob.
  Outcome<Object> Put(const std::string& bucket, const std::string& key, BlobWriter& blob,
                      const Attributes& attributes, const WriteConditions& conditions = {},
                      const AlsoChange& also = {});
  // Shares the source's bytes.
  Outcome<Object> Copy(const Object& source, const std::string& bucket, const std::string& key,
                       const Attributes& attributes, const WriteConditions& conditions = {});
  Outcome<Object> Find(const std::string& bucket, const std::string& key) const;
  // Bytes [begin, begin + size) of an object found before, as a body's beginning and the files
  // after it. NoSuchKey when it has been replaced or removed meanwhile: find it anew.
  struct Content {
    std::string bytes;
    std::vector<http::FilePiece> files;
  };
  Outcome<Content> Read(const Object& object, uint64_t begin, uint64_t size) const;
  // Whether they were there or not.
  Done Delete(const std::string& bucket, const std::vector<std::string>& keys);
  Outcome<Listing> List(const std::string& bucket, const ListOptions& options) const;

  Outcome<Upload> CreateUpload(const std::string& bucket, Upload upload);
  Outcome<Upload> FindUpload(const std::string& bucket, const std::string& key,
                             const std::string& id) const;
  Outcome<std::vector<Upload>> Uploads(const std::string& bucket) const;
  // blob: of BlobKind::kFile.
  Done PutPart(const Upload& upload, const Part& part, BlobWriter& blob);
  // Those with numbers above `after`, at most max.
  Outcome<std::vector<Part>> Parts(const Upload& upload, int64_t after, size_t max) const;
  Outcome<http::FilePiece> ReadPart(const Upload& upload, const Part& part) const;
  // parts: some of Parts, ascending. InvalidPart when one has been replaced meanwhile. The upload
  // is gone afterwards.
  Outcome<Object> Complete(const std::string& bucket, const Upload& upload,
                           const std::vector<Part>& parts, const Attributes& attributes,
                           const WriteConditions& conditions = {});
  Done Abort(const Upload& upload);

 private:
  class Reader;
  ObjectStore(BlobFiles blobs, std::filesystem::path database)
      : blobs_(std::move(blobs)), database_path_(std::move(database)) {}

  template <class T>
  Outcome<T> Change(const std::function<Outcome<T>(Database&)>& change);
  Result<Reader> OpenReader() const;
  Outcome<std::unique_ptr<BlobWriter>> Join(const Upload& upload,
                                            const std::vector<Part>& parts) const;
  void RemoveBlobs(const std::vector<std::string>& names) const;
  Status LoadBuckets();
  Result<int64_t> Sweep() const;

  BlobFiles blobs_;
  std::filesystem::path database_path_;
  int lock_fd_ = -1;
  std::unique_ptr<CommitQueue> commits_;

  mutable std::shared_mutex buckets_mutex_;  // guards buckets_
  std::map<std::string, Bucket> buckets_;
  mutable std::mutex readers_mutex_;  // guards readers_
  mutable std::vector<std::unique_ptr<Database>> readers_;
};

}  // namespace bertie::cloud
