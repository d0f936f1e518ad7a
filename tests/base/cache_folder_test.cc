#include "base/cache_folder.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "base/directory.h"

namespace bertie {
namespace {

namespace fs = std::filesystem;

// A variable set for the time of a test; nullptr: not set.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    Set(value);
  }
  ~Variable() { Set(before_ ? before_->c_str() : nullptr); }

 private:
  void Set(const char* value) {
    if (value != nullptr) {
      setenv(name_, value, 1);
    } else {
      unsetenv(name_);
    }
  }

  const char* name_;
  std::optional<std::string> before_;
};

std::string CacheWith(const char* cache, const char* home) {
  const Variable xdg("XDG_CACHE_HOME", cache);
  const Variable of_user("HOME", home);
  return CacheFolder().string();
}

TEST(CacheFolderTest, AsTheEnvironmentSays) {
  EXPECT_EQ(CacheWith("/caches", "/home/u"), "/caches");
  EXPECT_EQ(CacheWith("~/caches", "/home/u"), "/home/u/caches");
  EXPECT_EQ(CacheWith(nullptr, "/home/u"), "/home/u/.cache");
  EXPECT_EQ(CacheWith("", "/home/u"), "/home/u/.cache");
  EXPECT_EQ(CacheWith("caches", "/home/u"), "/home/u/.cache");
  EXPECT_EQ(CacheWith("./caches", "/home/u"), "/home/u/.cache");
  EXPECT_EQ(CacheWith("~other/caches", "/home/u"), "/home/u/.cache");
}

TEST(CacheFolderTest, WithoutHomeItIsTheUsersOwn) {
  const passwd* user = getpwuid(geteuid());
  const bool has_home = user != nullptr && fs::is_directory(user->pw_dir);
  const std::string home = has_home ? user->pw_dir : "";
  const fs::path own = has_home ? fs::path(home) / ".cache" : PrivateCacheIn("/var/tmp");
  EXPECT_EQ(CacheWith(nullptr, nullptr), own);
  EXPECT_EQ(CacheWith("", ""), own);
  if (has_home) {
    EXPECT_EQ(CacheWith("~/caches", nullptr), home + "/caches");
  }
}

TEST(CacheFolderTest, APrivateCacheIsWrittenByNobodyElse) {
  const auto parent = TemporaryDirectory::Create();
  ASSERT_TRUE(parent.ok());
  const fs::path own = parent->path() / ("bertie-" + std::to_string(geteuid()));
  EXPECT_EQ(PrivateCacheIn(parent->path()), own);
  EXPECT_EQ(fs::status(own).permissions(), fs::perms::owner_all);
  EXPECT_EQ(PrivateCacheIn(parent->path()), own) << "it is there";

  ASSERT_EQ(chmod(own.c_str(), 0777), 0);
  EXPECT_EQ(PrivateCacheIn(parent->path()), "/nonexistent");
  ASSERT_EQ(chmod(own.c_str(), 0755), 0);
  EXPECT_EQ(PrivateCacheIn(parent->path()), own);
  if (geteuid() == 0) {
    ASSERT_EQ(chown(own.c_str(), 12345, 0), 0);
    EXPECT_EQ(PrivateCacheIn(parent->path()), "/nonexistent") << "another user put it there";
  }
  fs::remove(own);
  fs::create_directory(parent->path() / "elsewhere");
  fs::create_directory_symlink(parent->path() / "elsewhere", own);
  EXPECT_EQ(PrivateCacheIn(parent->path()), "/nonexistent");
  EXPECT_EQ(PrivateCacheIn(parent->path() / "none"), "/nonexistent");
}

TEST(CacheFolderTest, ATildeIsTheHome) {
  const Variable home("HOME", "/home/u");
  EXPECT_EQ(ExpandHome("~"), "/home/u/");
  EXPECT_EQ(ExpandHome("~/a/b"), "/home/u/a/b");
  EXPECT_EQ(ExpandHome("~other/a"), "~other/a");
  EXPECT_EQ(ExpandHome("/a/~"), "/a/~");
}

}  // namespace
}  // namespace bertie
