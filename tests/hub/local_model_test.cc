#include "hub/local_model.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <initializer_list>

#include "base/directory.h"
#include "hub/cache.h"

namespace bertie::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWholeCommit = "0123456789abcdef0123456789abcdef01234567";
constexpr const char* kPartCommit = "fedcba9876543210fedcba9876543210fedcba98";

TEST(LocalModel, IsFoundInItsOrder) {
  const auto dir = TemporaryDirectory::Create();
  ASSERT_TRUE(dir.ok());
  const fs::path root = dir->path();
  setenv("XDG_CACHE_HOME", (root / "home").c_str(), 1);
  setenv("HF_HUB_CACHE", (root / "hub").c_str(), 1);
  const auto make = [](const fs::path& folder, std::initializer_list<const char*> files) {
    fs::create_directories(folder);
    for (const char* file : files) std::ofstream(folder / file) << "{}";
  };
  const fs::path snapshots = Cache(root / "hub").RepoDir("google-bert/tiny") / "snapshots";
  make(snapshots / kWholeCommit, {"config.json", "vocab.txt", "model.safetensors"});
  make(snapshots / kPartCommit, {"config.json", "vocab.txt"});
  const auto found = [](const std::string& name) {
    const auto local = FindLocalModel(name);
    EXPECT_TRUE(local.ok()) << local.error().message;
    return local.ok() && local->path ? *local->path : fs::path();
  };
  EXPECT_EQ(found(std::string("tiny@") + kWholeCommit), snapshots / kWholeCommit);
  EXPECT_EQ(found("tiny"), "");  // nothing says which commit that is
  make(OwnModels() / "tiny", {"config.json"});
  EXPECT_EQ(found("tiny"), root / "home/bertie/models/tiny");
  EXPECT_EQ(found((root / "hub").string()), root / "hub");

  const auto incomplete = FindLocalModel(std::string("google-bert/tiny@") + kPartCommit);
  ASSERT_TRUE(incomplete.ok());
  EXPECT_FALSE(incomplete->path);
  EXPECT_NE(incomplete->looked.find("lacks weights"), std::string::npos) << incomplete->looked;
  for (const char* name : {"./tiny", "~/tiny", "a/b/c", "tiny/", "m.tar.gz", "traced.pt", "a b"}) {
    const auto refused = FindLocalModel(name);
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::kNotFound) << name;
  }
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HF_HUB_CACHE");
}

}  // namespace
}  // namespace bertie::hub
