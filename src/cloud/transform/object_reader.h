// The bytes of an object, unpacked where they are packed, a piece after the other.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/status.h"
#include "cloud/failure.h"
#include "cloud/s3/object_files.h"
#include "cloud/s3/object_store.h"
#include "formats/gunzip.h"

namespace bertie::cloud {

// One thread at a time. An object that is replaced meanwhile is read to its end as it was.
class ObjectReader {
 public:
  // gzip: the object is unpacked, from a copy in the folder scratch. NoSuchBucket, NoSuchKey.
  static Outcome<ObjectReader> Open(const ObjectStore& store, const ObjectFile& object, bool gzip,
                                    const std::filesystem::path& scratch);

  // Bytes put into `to`; 0 at the end.
  Result<size_t> Read(std::span<char> to);

 private:
  ObjectStore::Content content_;  // what is not read yet
  std::shared_ptr<const OpenFile> packed_ = {};
  std::optional<formats::Gunzip> gunzip_ = {};
};

}  // namespace bertie::cloud
