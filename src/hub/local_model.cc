#include "hub/local_model.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/cache_folder.h"
#include "hub/files.h"

namespace bertie::hub {
namespace {

namespace fs = std::filesystem;

bool LooksLikePath(const std::string& name) {
  return name.empty() || name.front() == '.' || name.front() == '/' || name.front() == '~' ||
         name.back() == '/' || std::count(name.begin(), name.end(), '/') > 1 ||
         name.ends_with(".tar.gz") || name.ends_with(".tgz") || name.ends_with(".pt") ||
         name.ends_with(".pth");
}

}  // namespace

fs::path OwnModels() { return CacheFolder() / "bertie" / "models"; }

bool IsModel(const fs::path& dir) {
  std::error_code ignored;
  return fs::exists(dir / "config.json", ignored);
}

InCache FindInCache(const Cache& cache, const ModelName& name) {
  InCache found;
  std::vector<std::string> ids = {name.id};
  if (name.id.find('/') == std::string::npos) ids.push_back("google-bert/" + name.id);
  for (const std::string& id : ids) {
    const auto snapshot = cache.Find(id, name.revision);
    if (!snapshot) continue;
    const std::string missing = MissingIn(snapshot->dir);
    if (missing.empty()) {
      Cache::MarkUsed(snapshot->dir);
      found.dir = snapshot->dir;
      return found;
    }
    found.incomplete = snapshot->dir.string() + " lacks " + missing;
  }
  return found;
}

Result<LocalModel> FindLocalModel(const std::string& given) {
  LocalModel local;
  std::error_code ignored;
  if (fs::exists(given, ignored)) {
    local.path = given;
    return local;
  }
  if (LooksLikePath(given)) {
    return Error{ErrorCode::kNotFound, given + ": no such model folder or archive"};
  }
  const fs::path own = OwnModels();
  if (IsModel(own / given)) {
    local.path = own / given;
    return local;
  }
  local.looked = given + ": there is no such file or folder here or in " + own.string();
  const ModelName name = ParseModelName(given);
  for (const Status& status : {CheckModelId(name.id), CheckRevision(name.revision)}) {
    if (!status.ok()) {
      return Error{ErrorCode::kNotFound, local.looked + ", and " + status.error().message};
    }
  }
  BERTIE_ASSIGN_OR_RETURN(local.settings, FromEnvironment());
  const Cache cache(local.settings.cache);
  InCache found = FindInCache(cache, name);
  local.looked += found.incomplete.empty() ? ", and no such model in " + cache.root().string()
                                           : ", and " + found.incomplete;
  local.path = std::move(found.dir);
  return local;
}

}  // namespace bertie::hub
