// Objects as files in folders, and back.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "cloud/s3/object_store.h"
#include "cloud/s3/s3_uri.h"

namespace bertie::cloud {

struct ObjectFile {
  std::string bucket;
  std::string key;
  uint64_t size = 0;
  std::string path;  // relative to the folder that it is for
};

// All objects whose keys begin with the prefix's. Their paths are their keys without the prefix and
// the slash after it; where the prefix ends within a name, without what is before that name. Keys
// that end in a slash mark folders and are left out. NoSuchBucket.
Outcome<std::vector<ObjectFile>> FilesUnder(const ObjectStore& store, const S3Uri& prefix);

// Whether a relative path names one file below any folder, which no other such path does: names
// between single slashes, none of them "." or "..".
bool IsFilePath(std::string_view path);
// InvalidKey unless all of them can be files of one folder: IsFilePath takes each path, no two keys
// have the same, and none is a folder that another one lies in.
Done CheckFilePaths(const std::vector<ObjectFile>& files);

// The object as a file, whole or not at all; makes the folders that it is in. NoSuchBucket,
// NoSuchKey; InvalidKey for a path that IsFilePath does not take.
Done CopyToFile(const ObjectStore& store, const ObjectFile& file,
                const std::filesystem::path& folder);
// The whole object, of at most max bytes.
Outcome<std::string> ReadObjectText(const ObjectStore& store, const S3Uri& uri, uint64_t max);

// The objects that a manifest lists: [{"prefix": "s3://bucket/a/"}, "one.csv", "b/two.csv"]. Their
// paths are the names in the list. NoSuchBucket, NoSuchKey; InvalidManifest for what is none.
Outcome<std::vector<ObjectFile>> FilesInManifest(const ObjectStore& store, const S3Uri& manifest);

// An object that is written in pieces. Nothing is left of it without Finish.
class ObjectWriter {
 public:
  explicit ObjectWriter(ObjectStore& store)
      : store_(store), blob_(store.NewBlob()), md5_(DigestKind::kMd5) {}

  Status Write(std::string_view bytes);
  // Once, at the end. NoSuchBucket, also's failures. content_type: "" for S3's own.
  Done Finish(const S3Uri& target, const std::string& content_type,
              const ObjectStore::AlsoChange& also = {});

 private:
  ObjectStore& store_;
  std::unique_ptr<BlobWriter> blob_;
  Digest md5_;
};

Done CopyFromFile(ObjectStore& store, const std::filesystem::path& file, const S3Uri& target,
                  const std::string& content_type);

// The regular files below a folder, by their relative names, sorted; links are not followed. Empty
// for a folder that is not there.
std::vector<std::string> FilesBelow(const std::filesystem::path& folder);

}  // namespace bertie::cloud
