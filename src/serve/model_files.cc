#include "serve/model_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <system_error>

#include "base/file.h"

namespace bertie::serve {
namespace {

namespace fs = std::filesystem;

using Folders = std::map<std::string, fs::path>;

bool IsModel(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return true;
  if (fs::exists(path / "config.json", error)) return true;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path name = entry->path();
    if (name.extension() == ".pt" || name.extension() == ".pth") return true;
  }
  return false;
}

Result<Folders> ListFolders(const fs::path& dir) {
  Folders folders;
  std::error_code error;
  for (fs::directory_iterator entry(dir, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code unreadable;
    const std::string name = entry->path().filename().string();
    if (IsFolderName(name) && entry->is_directory(unreadable)) folders[name] = entry->path();
  }
  if (error) return FileError(error.value(), dir, "list");
  return folders;
}

// Calls visit for each file of a model.
void VisitFiles(const fs::path& model,
                const std::function<void(const fs::path&, const struct stat&)>& visit) {
  const auto look = [&visit](const fs::path& file) {
    struct stat status {};
    if (stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode)) visit(file, status);
  };
  std::error_code error;
  if (!fs::is_directory(model, error)) return look(model);
  for (fs::directory_iterator entry(model, error), end; !error && entry != end;
       entry.increment(error)) {
    look(entry->path());
  }
}

}  // namespace

bool IsFolderName(const std::string& name) {
  return !name.empty() && name[0] != '.' && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

Result<Folders> FindVersions(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    return Error{ErrorCode::kNotFound, path.string() + ": no such model folder or archive"};
  }
  if (IsModel(path)) return Folders{{"1", path}};
  BERTIE_ASSIGN_OR_RETURN(Folders versions, ListFolders(path));
  std::erase_if(versions, [](const auto& version) { return !IsModel(version.second); });
  if (!versions.empty()) return versions;
  return Error{ErrorCode::kInvalidData,
               path.string() +
                   ": found no model (config.json, or *.pt) and no folders with one; "
                   "expected a model's folder, or one of its versions'"};
}

Result<Folders> FindModels(const fs::path& dir) { return ListFolders(dir); }

std::string Fingerprint(const fs::path& model) {
  std::map<std::string, std::string> files;
  VisitFiles(model, [&files](const fs::path& file, const struct stat& status) {
    files[file.filename().string()] =
        std::to_string(status.st_ino) + " " + std::to_string(status.st_size) + " " +
        std::to_string(status.st_mtim.tv_sec) + "." + std::to_string(status.st_mtim.tv_nsec);
  });
  std::string print;
  for (const auto& [name, facts] : files) print += name + "\t" + facts + "\n";
  return print;
}

int64_t WeightBytes(const fs::path& model) {
  int64_t largest = 0;
  VisitFiles(model, [&largest](const fs::path&, const struct stat& status) {
    largest = std::max<int64_t>(largest, status.st_size);
  });
  return largest;
}

}  // namespace bertie::serve
