// Models' artifacts as files, as many as fit: those that were used last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "cloud/failure.h"
#include "cloud/s3/object_store.h"
#include "cloud/s3/s3_uri.h"

namespace bertie::cloud {

// Any thread.
class ModelCache {
 public:
  // What an earlier process left in the folder counts. max_bytes: of all files together.
  ModelCache(std::filesystem::path folder, uint64_t max_bytes);

  // The artifact as a file, which stays as long as anybody has the pointer. An object that has
  // changed is another file. NoSuchBucket, NoSuchKey; ClientError for one above max_bytes, and of a
  // cache that is closed.
  using File = std::shared_ptr<const std::filesystem::path>;
  Outcome<File> Get(const ObjectStore& store, const S3Uri& place);
  // Before the folder is removed: nothing is fetched there any more. False while something is.
  bool Close();

 private:
  struct Entry {
    uint64_t size = 0;
    uint64_t used = 0;  // the larger, the later
    std::weak_ptr<const std::filesystem::path> file = {};
  };
  void MakeRoom(uint64_t size);

  const std::filesystem::path folder_;
  const uint64_t max_bytes_;
  std::mutex mutex_;  // guards all below, also while a file is fetched
  std::map<std::string, Entry> entries_;
  uint64_t uses_ = 0;
  bool closed_ = false;
};

}  // namespace bertie::cloud
