#include "base/cache_folder.h"

#include <algorithm>
#include <cstdlib>

namespace bertie {
namespace {

namespace fs = std::filesystem;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

fs::path CacheFolder() {
  if (const std::string cache = Variable("XDG_CACHE_HOME"); !cache.empty()) {
    return ExpandHome(cache);
  }
  const fs::path home = Variable("HOME");
  return home.empty() ? fs::path("/var/tmp") : home / ".cache";
}

fs::path ExpandHome(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  return Variable("HOME") / fs::path(path.substr(std::min<size_t>(2, path.size())));
}

}  // namespace bertie
