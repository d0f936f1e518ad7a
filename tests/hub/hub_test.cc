#include "hub/hub.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/directory.h"
#include "base/file.h"
#include "hub/cache.h"
#include "hub/content_hash.h"
#include "hub/files.h"
#include "hub/names.h"

namespace bertie::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";
constexpr const char* kOther = "fedcba9876543210fedcba9876543210fedcba98";

TEST(Names, ModelIds) {
  for (const char* id : {"bert-base-uncased", "org/name", "a", "0x/y.z_1", "A-b/c.d"}) {
    EXPECT_TRUE(CheckModelId(id).ok()) << id;
  }
  for (const char* id : {"", "/", "a/", "/a", "a/b/c", "..", "a..b", "a--b", "-a", "a.", "a b",
                         "a\nb", "\xc3\xa4", "org/name@v1"}) {
    EXPECT_FALSE(CheckModelId(id).ok()) << id;
  }
}

TEST(Names, Revisions) {
  for (const char* revision : {"main", "v1.0", "refs/pr/3", kCommit, "feature/x"}) {
    EXPECT_TRUE(CheckRevision(revision).ok()) << revision;
  }
  for (const char* revision : {"", "..", "a/../b", "/etc", "a//b", "a/", ".git", "a b", "a\tb"}) {
    EXPECT_FALSE(CheckRevision(revision).ok()) << revision;
  }
}

// Made by `git hash-object` and `sha256sum`.
TEST(ContentHash, IsGitsOrSha256ByTheEtagsLength) {
  const std::string git = "3b18e512dba79e4c8300dd08aeb37f8e728b8dad";
  const std::string sha256 = "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447";
  for (const std::string& etag : {git, sha256}) {
    ContentHash hash(etag, 12);
    hash.Update("hello ");
    hash.Update("world\n");
    EXPECT_EQ(hash.Finish(), etag);
  }
  for (const char* etag : {"5d41402abc4b2a76b9719d911017c592", "some-etag", ""}) {
    EXPECT_EQ(ContentHash(etag, 12).Finish(), "") << etag;
  }
}

std::string Weights(std::vector<std::string> files) {
  files.insert(files.end(), {"config.json", "vocab.txt", "README.md", "train.py", "tf_model.h5"});
  const auto wanted = ChooseFiles(files, "id");
  if (!wanted.ok()) return wanted.error().message;
  EXPECT_EQ(wanted->needed.front(), "config.json");
  EXPECT_EQ(wanted->papers, std::vector<std::string>{"README.md"});
  EXPECT_EQ(wanted->needed.size(), 3u);
  EXPECT_TRUE(wanted->index.empty() || wanted->index == wanted->needed.back());
  return wanted->needed.back();
}

TEST(ChooseFiles, TakesOneFormOfWeights) {
  EXPECT_EQ(Weights({"pytorch_model.bin", "model.safetensors"}), "model.safetensors");
  EXPECT_EQ(Weights({"pytorch_model.bin", "model.safetensors.index.json"}),
            "model.safetensors.index.json");
  EXPECT_EQ(Weights({"pytorch_model.bin"}), "pytorch_model.bin");
  EXPECT_NE(Weights({"onnx/model.onnx"}).find("no model.safetensors"), std::string::npos);
}

class CacheTest : public testing::Test {
 protected:
  CacheTest() : dir_(*TemporaryDirectory::Create()), cache_(dir_.path()) {}

  void Add(const std::string& commit, const std::string& file, const std::string& etag) {
    fs::create_directories(cache_.RepoDir("org/name") / "blobs");
    std::ofstream(cache_.BlobPath("org/name", etag)) << etag;
    ASSERT_TRUE(cache_.Link("org/name", commit, file, etag).ok());
  }

  TemporaryDirectory dir_;
  Cache cache_;
};

TEST_F(CacheTest, LinksAreRelativeAndReplaceOthers) {
  Add(kCommit, "config.json", "one");
  const fs::path link = cache_.SnapshotDir("org/name", kCommit) / "config.json";
  EXPECT_EQ(fs::read_symlink(link), "../../blobs/one");
  EXPECT_EQ(*ReadFile(link, 10), "one");
  Add(kCommit, "config.json", "two");
  EXPECT_EQ(*ReadFile(link, 10), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(link.parent_path()), {}), 1);
}

TEST_F(CacheTest, RemovingARevisionKeepsWhatOthersHave) {
  Add(kCommit, "config.json", "both");
  Add(kCommit, "vocab.txt", "old");
  Add(kOther, "config.json", "both");
  ASSERT_TRUE(cache_.SetRef("org/name", "main", kCommit).ok());
  ASSERT_TRUE(cache_.SetRef("org/name", "refs/pr/1", kOther).ok());
  EXPECT_EQ(cache_.Find("org/name", "main")->commit, kCommit);
  const auto list = cache_.List();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].bytes + list[1].bytes, 11);
  const auto removed = cache_.Remove("org/name", "main");
  ASSERT_TRUE(removed.ok()) << removed.error().message;
  EXPECT_EQ(removed->bytes, 3);
  EXPECT_FALSE(cache_.Find("org/name", "main").has_value());
  EXPECT_EQ(cache_.List().front().refs, std::vector<std::string>{"refs/pr/1"});
  EXPECT_TRUE(fs::exists(cache_.BlobPath("org/name", "both")));
  EXPECT_FALSE(fs::exists(cache_.BlobPath("org/name", "old")));
  EXPECT_EQ(cache_.Remove("org/name", "main").error().code, ErrorCode::kNotFound);
}

TEST_F(CacheTest, PlacesTellCommitsAndHashes) {
  const std::string sha(64, 'a');
  Add(kCommit, "model.safetensors", sha);
  Add(kCommit, "config.json", std::string(40, 'b'));
  const fs::path dir = cache_.SnapshotDir("org/name", kCommit);
  EXPECT_EQ(CommitOf(dir), kCommit);
  EXPECT_EQ(CommitOf(dir / ""), kCommit);
  EXPECT_EQ(Sha256Of(dir / "model.safetensors"), sha);
  EXPECT_EQ(Sha256Of(dir / "config.json"), "");
  EXPECT_EQ(Sha256Of(dir / "vocab.txt"), "");
  const fs::path elsewhere = dir_.path() / "models" / kCommit;
  fs::create_directories(elsewhere);
  fs::create_symlink("../../blobs/" + sha, elsewhere / "model.safetensors");
  EXPECT_EQ(CommitOf(elsewhere), "");
  EXPECT_EQ(Sha256Of(elsewhere / "model.safetensors"), "");
}

TEST_F(CacheTest, MissingInNamesWhatAFolderLacks) {
  const fs::path dir = dir_.path();
  EXPECT_EQ(MissingIn(dir), "config.json");
  std::ofstream(dir / "config.json") << "{}";
  EXPECT_EQ(MissingIn(dir), "tokenizer.json or vocab.txt");
  std::ofstream(dir / "vocab.txt") << "a";
  EXPECT_NE(MissingIn(dir).find("model.safetensors"), std::string::npos);
  std::ofstream(dir / "model.safetensors.index.json")
      << R"({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})";
  std::ofstream(dir / "one.safetensors") << "x";
  EXPECT_EQ(MissingIn(dir), "two.safetensors");
  std::ofstream(dir / "two.safetensors") << "x";
  EXPECT_EQ(MissingIn(dir), "");
}

}  // namespace
}  // namespace bertie::hub
