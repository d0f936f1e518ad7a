#include "cloud/endpoints/model_data.h"

#include <fcntl.h>

#include <cstdio>
#include <string_view>
#include <system_error>

#include "base/directory.h"
#include "base/file.h"
#include "cloud/s3/object_files.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;

Done CopyAll(const ObjectStore& store, const std::vector<ObjectFile>& files,
             const fs::path& folder) {
  for (const ObjectFile& file : files) {
    if (Done done = CopyToFile(store, file, folder); !done.ok()) return done;
  }
  return std::monostate();
}

// Puts the objects under a place into a folder's place, all of them or none.
Done ReplaceFolder(const ObjectStore& store, const S3Uri& place, const fs::path& folder) {
  auto files = FilesUnder(store, place);
  if (!files.ok()) return files.error();
  if (files->empty()) return Failure("NoSuchKey", "no object under it");
  if (Done checked = CheckFilePaths(*files); !checked.ok()) return checked;
  const fs::path draft = folder.string() + ".new";
  std::error_code error;
  fs::remove_all(draft, error);
  Done done = CopyAll(store, *files, draft);
  if (done.ok() &&
      ::renameat2(AT_FDCWD, draft.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) != 0) {
    // There was none, or the file system cannot.
    fs::remove_all(folder, error);
    fs::rename(draft, folder, error);
    if (error) done = FileError(error.value(), folder, "make");
  }
  fs::remove_all(draft, error);
  return done;
}

}  // namespace

std::optional<S3Uri> ParseS3Url(const std::string& url) {
  const auto split = [](const std::string& text) -> std::optional<S3Uri> {
    const size_t slash = text.find('/');
    if (slash == 0 || slash == text.npos) return std::nullopt;
    return S3Uri{text.substr(0, slash), text.substr(slash + 1)};
  };
  constexpr std::string_view kS3 = "s3://";
  constexpr std::string_view kHttps = "https://";
  if (url.starts_with(kS3)) return split(url.substr(kS3.size()));
  if (!url.starts_with(kHttps)) return std::nullopt;
  auto place = split(url.substr(kHttps.size()));
  if (!place || !place->bucket.ends_with(".amazonaws.com")) return std::nullopt;
  const std::string host = place->bucket;
  if (host.starts_with("s3.") || host.starts_with("s3-")) return split(place->key);
  for (const char* mark : {".s3.", ".s3-"}) {
    if (const size_t at = host.rfind(mark); at != host.npos) {
      return S3Uri{host.substr(0, at), place->key};
    }
  }
  return std::nullopt;
}

std::string ModelFileName(const std::string& key) {
  for (const char* ending : {".pt", ".pth"}) {
    if (key.ends_with(ending)) return std::string("model") + ending;
  }
  return "model.tar.gz";
}

Done CheckModelData(const ObjectStore& store, const ContainerPlan& container) {
  if (container.data_url.empty() || container.multi_model) return std::monostate();
  const Failure missing("ValidationException",
                        "Could not find model data at " + container.data_url + ".");
  const auto place = ParseS3Url(container.data_url);
  if (!place) return missing;
  if (container.data_folder) {
    auto listing = store.List(place->bucket, {.prefix = place->key, .max = 1});
    return listing.ok() && !listing->objects.empty() ? Done(std::monostate()) : Done(missing);
  }
  return store.Find(place->bucket, place->key).ok() ? Done(std::monostate()) : Done(missing);
}

fs::path ModelDataPath(const ContainerPlan& container, const fs::path& folder) {
  const auto place = ParseS3Url(container.data_url);
  if (container.data_folder || !place) return folder / "model";
  return folder / ModelFileName(place->key);
}

Done FetchModelData(const ObjectStore& store, const ContainerPlan& container,
                    const fs::path& folder) {
  const auto place = ParseS3Url(container.data_url);
  if (!place) {
    return Failure("ClientError", container.data_url.empty() ? "the model has no ModelDataUrl"
                                                             : "no S3 URL: " + container.data_url);
  }
  if (const Done there = CheckModelData(store, container); !there.ok()) {
    return Failure("ClientError", there.error().message);
  }
  if (container.multi_model) {  // fetched as they are asked for
    BERTIE_RETURN_IF_ERROR(MakeFolders(folder));
    return std::monostate();
  }
  BERTIE_RETURN_IF_ERROR(MakeFolders(folder));
  RemoveAbandonedFiles(folder);
  const fs::path target = ModelDataPath(container, folder);
  const ObjectFile file{place->bucket, place->key, 0, target.filename().string()};
  const Done done = container.data_folder ? ReplaceFolder(store, *place, target)
                                          : CopyToFile(store, file, folder);
  if (done.ok()) return done;
  const bool theirs = std::string_view(done.error().code) == "InvalidKey";
  return Failure(theirs ? "ClientError" : "InternalServerError", done.error().message);
}

}  // namespace bertie::cloud
