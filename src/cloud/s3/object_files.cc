#include "cloud/s3/object_files.h"

#include <algorithm>
#include <map>
#include <system_error>

#include "base/directory.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/quote.h"
#include "formats/json.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxManifest = uint64_t{64} << 20;

std::string RelativePath(const std::string& key, const std::string& prefix) {
  if (prefix.empty() || prefix.ends_with('/')) return key.substr(prefix.size());
  if (key.size() > prefix.size() && key[prefix.size()] == '/') {
    return key.substr(prefix.size() + 1);
  }
  return key.substr(prefix.rfind('/') + 1);  // npos + 1 is 0
}

Done CheckFilePath(const ObjectFile& file) {
  if (IsFilePath(file.path)) return std::monostate();
  return Failure("InvalidKey", "the key " + Quote(file.key) +
                                   " is no path of a file: " + Quote(file.path) +
                                   " must be names between single slashes, none . or ..");
}

Done ForEachPiece(const ObjectStore& store, const Object& object,
                  const std::function<Status(std::string_view)>& take) {
  auto content = store.Read(object, 0, object.size);
  if (!content.ok()) return content.error();
  BERTIE_RETURN_IF_ERROR(take(content->bytes));
  for (const http::FilePiece& piece : content->files) {
    BERTIE_RETURN_IF_ERROR(ReadPiece(piece, take));
  }
  return std::monostate();
}

}  // namespace

Outcome<std::vector<ObjectFile>> FilesUnder(const ObjectStore& store, const S3Uri& prefix) {
  std::vector<ObjectFile> files;
  ListOptions options{.prefix = prefix.key};
  while (true) {
    auto listing = store.List(prefix.bucket, options);
    if (!listing.ok()) return listing.error();
    for (const Object& object : listing->objects) {
      if (object.key.ends_with('/')) continue;
      files.push_back(
          {prefix.bucket, object.key, object.size, RelativePath(object.key, prefix.key)});
    }
    if (!listing->truncated) return files;
    options.after = listing->last;
  }
}

bool IsFilePath(std::string_view path) {
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    if (name.empty() || name == "." || name == ".." || name.find('\0') != name.npos) return false;
    begin = end + 1;
  }
  return true;
}

Done CheckFilePaths(const std::vector<ObjectFile>& files) {
  std::map<std::string_view, std::string_view> paths;  // with their keys
  for (const ObjectFile& file : files) {
    if (Done done = CheckFilePath(file); !done.ok()) return done;
    const auto [other, first] = paths.emplace(file.path, file.key);
    if (first || other->second == file.key) continue;
    return Failure("InvalidKey", "the keys " + Quote(other->second) + " and " + Quote(file.key) +
                                     " would both be the file " + Quote(file.path));
  }
  for (const ObjectFile& file : files) {
    const std::string_view path = file.path;
    for (size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
      const std::string_view folder = path.substr(0, slash);
      if (!paths.contains(folder)) continue;
      return Failure("InvalidKey", "the key " + Quote(file.key) + " is no path of a file beside " +
                                       Quote(folder) + ", which is one");
    }
  }
  return std::monostate();
}

Done CopyToFile(const ObjectStore& store, const ObjectFile& file, const fs::path& folder) {
  if (Done done = CheckFilePath(file); !done.ok()) return done;
  const fs::path path = folder / file.path;
  BERTIE_RETURN_IF_ERROR(MakeFolders(path.parent_path()));
  auto object = store.Find(file.bucket, file.key);
  if (!object.ok()) return object.error();
  BERTIE_ASSIGN_OR_RETURN(AtomicFile out, AtomicFile::Create(path));
  Done written =
      ForEachPiece(store, *object, [&](std::string_view piece) { return out.Write(piece); });
  if (!written.ok()) return written;
  // What a power failure leaves of it is fetched anew, so that nobody need wait for the disk.
  std::error_code error;
  fs::rename(out.temporary_path(), path, error);
  if (error) return FileError(error.value(), path, "make");
  return std::monostate();
}

Outcome<std::string> ReadObjectText(const ObjectStore& store, const S3Uri& uri, uint64_t max) {
  auto object = store.Find(uri.bucket, uri.key);
  if (!object.ok()) return object.error();
  if (object->size > max) {
    return Failure("EntityTooLarge", uri.Text() + " has " + std::to_string(object->size) +
                                         " bytes, more than " + std::to_string(max));
  }
  std::string text;
  Done done = ForEachPiece(store, *object, [&](std::string_view piece) -> Status {
    text += piece;
    return {};
  });
  if (!done.ok()) return done.error();
  return text;
}

Outcome<std::vector<ObjectFile>> FilesInManifest(const ObjectStore& store, const S3Uri& manifest) {
  auto text = ReadObjectText(store, manifest, kMaxManifest);
  if (!text.ok()) return text.error();
  const auto json = formats::ParseJson(*text, "the manifest");
  if (!json.ok()) return Failure("InvalidManifest", json.error().message);
  const Failure bad("InvalidManifest",
                    "expected a manifest, a list of {\"prefix\": \"s3://...\"} and then names");
  if (!json->is_array() || json->empty() || !json->front().is_object()) return bad;
  const auto prefix = json->front().find("prefix");
  if (prefix == json->front().end() || !prefix->is_string()) return bad;
  const auto uri = S3Uri::Parse(prefix->get<std::string>());
  if (!uri) return bad;
  std::vector<ObjectFile> files;
  for (size_t at = 1; at < json->size(); ++at) {
    if (!(*json)[at].is_string()) return bad;
    const std::string name = (*json)[at].get<std::string>();
    files.push_back({uri->bucket, uri->key + name, 0, name});
  }
  return files;
}

Status ObjectWriter::Write(std::string_view bytes) {
  md5_.Update(bytes);
  return blob_->Write(bytes);
}

Done ObjectWriter::Finish(const S3Uri& target, const std::string& content_type,
                          const ObjectStore::AlsoChange& also) {
  Attributes attributes{.etag = Hex(md5_.Finish())};
  if (!content_type.empty()) attributes.fields.push_back({"content-type", content_type});
  auto object = store_.Put(target.bucket, target.key, *blob_, attributes, {}, also);
  if (!object.ok()) return object.error();
  return std::monostate();
}

Done CopyFromFile(ObjectStore& store, const fs::path& file, const S3Uri& target,
                  const std::string& content_type) {
  BERTIE_ASSIGN_OR_RETURN(const auto open, OpenFile::Open(file));
  ObjectWriter writer(store);
  BERTIE_RETURN_IF_ERROR(ReadPiece({open, 0, open->size()},
                                   [&](std::string_view piece) { return writer.Write(piece); }));
  return writer.Finish(target, content_type);
}

std::vector<std::string> FilesBelow(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (at->symlink_status(ignored).type() == fs::file_type::regular) {
      files.push_back(at->path().lexically_relative(folder).generic_string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace bertie::cloud
