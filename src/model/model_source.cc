#include "model/model_source.h"

#include <string>
#include <system_error>
#include <utility>

#include "formats/tar.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;

// The folder of an unpacked archive with config.json in it: its top, or the one folder there.
Result<fs::path> FindModel(const fs::path& top, const fs::path& archive) {
  std::error_code error;
  if (fs::exists(top / "config.json", error)) return top;
  fs::path only;
  int folders = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(top, error)) {
    if (!entry.is_directory(error)) continue;
    only = entry.path();
    ++folders;
  }
  if (folders == 1 && fs::exists(only / "config.json", error)) return only;
  return Error{ErrorCode::kInvalidData,
               archive.string() +
                   ": found no config.json, expected it at the top or in the only folder there"};
}

}  // namespace

Result<ModelSource> ModelSource::Open(const fs::path& path) {
  ModelSource source;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return Error{ErrorCode::kNotFound, path.string() + ": no such model folder or archive"};
  }
  if (fs::is_directory(status)) {
    source.dir_ = path;
    return source;
  }
  const std::string name = path.filename().string();
  if (!name.ends_with(".tar.gz") && !name.ends_with(".tgz")) {
    return Error{ErrorCode::kInvalidArgument,
                 path.string() + ": found a file, expected a model folder, a .tar.gz or a .tgz"};
  }
  BERTIE_ASSIGN_OR_RETURN(TemporaryDirectory unpacked, TemporaryDirectory::Create("bertie-model-"));
  BERTIE_RETURN_IF_ERROR(formats::ExtractTar(path, unpacked.path()));
  BERTIE_ASSIGN_OR_RETURN(source.dir_, FindModel(unpacked.path(), path));
  source.unpacked_ = std::move(unpacked);
  return source;
}

}  // namespace bertie::model
