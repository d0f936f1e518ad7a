#include "base/cache_folder.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace bertie {
namespace {

namespace fs = std::filesystem;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The home that the user database has, or "" where that is no folder.
std::string HomeOfUser() {
  constexpr size_t kMostBytes = 64 * 1024;  // of an entry; usual ones take some hundred
  std::vector<char> buffer(kMostBytes);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0) return "";
  if (found == nullptr || found->pw_dir == nullptr) return "";
  std::error_code ignored;
  return fs::is_directory(found->pw_dir, ignored) ? found->pw_dir : "";
}

// "" where there is none.
std::string Home() {
  const std::string home = Variable("HOME");
  return home.empty() ? HomeOfUser() : home;
}

}  // namespace

fs::path CacheFolder() {
  if (const fs::path cache = ExpandHome(Variable("XDG_CACHE_HOME")); cache.is_absolute()) {
    return cache;
  }
  const fs::path home = Home();
  return home.empty() ? PrivateCacheIn("/var/tmp") : home / ".cache";
}

fs::path PrivateCacheIn(const fs::path& parent) {
  const fs::path folder = parent / ("bertie-" + std::to_string(geteuid()));
  (void)mkdir(folder.c_str(), 0700);  // what counts is what is there
  struct stat found {};
  const bool ours = lstat(folder.c_str(), &found) == 0 && S_ISDIR(found.st_mode) &&
                    found.st_uid == geteuid() && (found.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  return ours ? folder : fs::path("/nonexistent");
}

fs::path ExpandHome(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  return Home() / fs::path(path.substr(std::min<size_t>(2, path.size())));
}

}  // namespace bertie
