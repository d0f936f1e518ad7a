#include "serve/model_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/directory.h"

namespace bertie::serve {
namespace {

namespace fs = std::filesystem;

class ModelFilesTest : public testing::Test {
 protected:
  void Write(const fs::path& path, const std::string& content = "{}") {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << content;
  }
  std::string Versions(const fs::path& path) {
    const auto found = FindVersions(root / path);
    if (!found.ok()) return ErrorCodeName(found.error().code);
    std::string names;
    for (const auto& [name, folder] : *found) names += name + " ";
    return names;
  }

  TemporaryDirectory dir = *TemporaryDirectory::Create();
  fs::path root = dir.path();
};

TEST_F(ModelFilesTest, AModelIsItsOwnVersionOne) {
  Write("a/config.json");
  Write("a/sub/config.json");
  EXPECT_EQ(Versions("a"), "1 ");
  Write("b/traced_bert.pt");
  EXPECT_EQ(Versions("b"), "1 ");
  Write("c.tar.gz");
  EXPECT_EQ(Versions("c.tar.gz"), "1 ");
}

TEST_F(ModelFilesTest, FoldersWithModelsAreVersions) {
  Write("a/1/config.json");
  Write("a/12/config.json");
  Write("a/.new/config.json");
  Write("a/notes/readme.txt");
  Write("a/README.md");
  EXPECT_EQ(Versions("a"), "1 12 ");
  EXPECT_EQ(Versions("none"), "not_found");
  Write("b/readme.txt");
  EXPECT_EQ(Versions("b"), "invalid_data");
}

TEST_F(ModelFilesTest, NamesThatStayInTheFolder) {
  EXPECT_TRUE(IsFolderName("a b.c"));
  for (const std::string name : {"", ".", "..", ".a", "a/b", "../a", "/"}) {
    EXPECT_FALSE(IsFolderName(name)) << name;
  }
  EXPECT_FALSE(IsFolderName(std::string("a\0b", 3)));
}

TEST_F(ModelFilesTest, AFingerprintTellsOfEveryChange) {
  Write("a/config.json", "1");
  Write("a/weights", "12345");
  const std::string before = Fingerprint(root / "a");
  EXPECT_EQ(Fingerprint(root / "a"), before);
  Write("b/config.json", "2");
  fs::rename(root / "b/config.json", root / "a/config.json");
  EXPECT_NE(Fingerprint(root / "a"), before);
  EXPECT_EQ(WeightBytes(root / "a"), 5);
}

}  // namespace
}  // namespace bertie::serve
