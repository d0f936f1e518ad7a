#include "base/cache_folder.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace bertie {
namespace {

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
  EXPECT_EQ(CacheWith(nullptr, nullptr), "/var/tmp");
  EXPECT_EQ(CacheWith("", ""), "/var/tmp");
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
