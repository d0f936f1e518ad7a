#include "model/model_source.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/directory.h"
#include "expect_error.h"
#include "formats/tar.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;

class ModelSourceTest : public testing::Test {
 protected:
  // An archive of files, each with its own name for content.
  fs::path Pack(const std::string& archive, const std::vector<std::string>& names) const {
    std::vector<formats::TarEntry> entries;
    for (const std::string& name : names) {
      const fs::path file = dir_.path() / ("file" + std::to_string(entries.size()));
      std::ofstream(file) << name;
      entries.push_back({name, file});
    }
    EXPECT_TRUE(formats::WriteTarGz(dir_.path() / archive, entries).ok());
    return dir_.path() / archive;
  }

  TemporaryDirectory dir_ = TemporaryDirectory::Create().value();
};

TEST_F(ModelSourceTest, AFolderIsUsedAsItIs) {
  const auto source = ModelSource::Open(dir_.path());
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(source->dir(), dir_.path());
}

TEST_F(ModelSourceTest, FindsTheModelAtTheTopOrInTheOnlyFolder) {
  for (const auto& [archive, names] :
       {std::pair("top.tar.gz", std::vector<std::string>{"config.json", "code/inference.py"}),
        std::pair("nested.tgz", std::vector<std::string>{"mymodel/config.json", "README.md"})}) {
    const auto source = ModelSource::Open(Pack(archive, names));
    ASSERT_TRUE(source.ok()) << source.error().message;
    EXPECT_TRUE(fs::exists(source->dir() / "config.json"));
  }
}

TEST_F(ModelSourceTest, RemovesItsFolderWhenMovedToo) {
  fs::path unpacked;
  {
    auto source = ModelSource::Open(Pack("nested.tar.gz", {"m/config.json"}));
    ASSERT_TRUE(source.ok());
    const ModelSource moved = *std::move(source);
    unpacked = moved.dir();
    EXPECT_TRUE(fs::exists(unpacked));
  }
  EXPECT_FALSE(fs::exists(unpacked.parent_path()));
}

TEST_F(ModelSourceTest, RefusesNamingThePath) {
  EXPECT_ERROR(ModelSource::Open(dir_.path() / "absent"), ErrorCode::kNotFound,
               "absent: no such model folder or archive");
  EXPECT_ERROR(ModelSource::Open(Pack("two.tar.gz", {"a/config.json", "b/config.json"})),
               ErrorCode::kInvalidData,
               "two.tar.gz: found no config.json and no TorchScript archive (*.pt), expected one "
               "at the top");
  EXPECT_ERROR(ModelSource::Open(Pack("none.tar.gz", {"a/b/config.json"})), ErrorCode::kInvalidData,
               "none.tar.gz: found no config.json");
  std::ofstream(dir_.path() / "model.safetensors") << "x";
  EXPECT_ERROR(ModelSource::Open(dir_.path() / "model.safetensors"), ErrorCode::kInvalidArgument,
               "found a file, expected a model folder, a .tar.gz or .tgz");
  std::ofstream(dir_.path() / "bad.tar.gz") << "not gzip";
  EXPECT_ERROR(ModelSource::Open(dir_.path() / "bad.tar.gz"), ErrorCode::kInvalidData,
               "bad.tar.gz: not a whole tar archive");
}

}  // namespace
}  // namespace bertie::model
