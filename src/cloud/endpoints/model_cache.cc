#include "cloud/endpoints/model_cache.h"

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/encoding.h"
#include "cloud/endpoints/model_data.h"
#include "cloud/s3/object_files.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;

// One of an object's content under its key.
std::string NameFor(const S3Uri& place, const std::string& etag) {
  const std::string digest = DigestOf(DigestKind::kSha256, place.Text() + "\n" + etag);
  return Hex(digest.substr(0, 16)) + "-" + ModelFileName(place.key);
}

}  // namespace

ModelCache::ModelCache(fs::path folder, uint64_t max_bytes)
    : folder_(std::move(folder)), max_bytes_(max_bytes) {
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    found.emplace_back(entry.last_write_time(error), entry.path());
  }
  std::sort(found.begin(), found.end());
  for (const auto& [time, path] : found) {
    entries_[path.filename().string()] = {fs::file_size(path, error), ++uses_};
  }
}

void ModelCache::MakeRoom(uint64_t size) {
  uint64_t sum = size;
  std::vector<std::pair<uint64_t, std::string>> unused;  // the oldest first
  for (const auto& [name, entry] : entries_) {
    sum += entry.size;
    if (entry.file.expired()) unused.emplace_back(entry.used, name);
  }
  std::sort(unused.begin(), unused.end());
  for (const auto& [used, name] : unused) {
    if (sum <= max_bytes_) return;
    std::error_code ignored;
    fs::remove(folder_ / name, ignored);
    sum -= entries_[name].size;
    entries_.erase(name);
  }
}

Outcome<ModelCache::File> ModelCache::Get(const ObjectStore& store, const S3Uri& place) {
  auto object = store.Find(place.bucket, place.key);
  if (!object.ok()) return object.error();
  if (object->size > max_bytes_) {
    return Failure("ClientError", place.Text() + " has " + std::to_string(object->size) +
                                      " bytes, the volume of the endpoint's models " +
                                      std::to_string(max_bytes_));
  }
  const std::string name = NameFor(place, object->attributes.etag);
  std::lock_guard lock(mutex_);
  if (closed_) return Failure("ClientError", "its endpoint has been deleted or changed");
  auto found = entries_.find(name);
  if (found == entries_.end()) {
    MakeRoom(object->size);
    Done done = CopyToFile(store, {place.bucket, place.key, object->size, name}, folder_);
    if (!done.ok()) return done.error();
    found = entries_.emplace(name, Entry{.size = object->size}).first;
  }
  found->second.used = ++uses_;
  File file = found->second.file.lock();
  if (!file) file = std::make_shared<const fs::path>(folder_ / name);
  found->second.file = file;
  return file;
}

bool ModelCache::Close() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (lock) closed_ = true;
  return lock.owns_lock();
}

}  // namespace bertie::cloud
