#include "accelerator/manifest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "base/directory.h"
#include "base/sha256.h"

namespace bertie::accelerator {
namespace {

namespace fs = std::filesystem;

fs::path Tiny() { return fs::path(BERTIE_TESTS_DIR) / "golden" / "tiny"; }

ModelManifest TinyManifest() {
  auto manifest = MakeManifest(Tiny());
  EXPECT_TRUE(manifest.ok());
  return manifest.ok() ? *std::move(manifest) : ModelManifest{};
}

TEST(Manifest, NamesTheFilesThatAModelIsOpenedFrom) {
  const ModelManifest manifest = TinyManifest();
  ASSERT_EQ(manifest.files.size(), 2u);
  EXPECT_EQ(manifest.files[0].name, "config.json");
  EXPECT_EQ(manifest.files[1].name, "model.safetensors");
  std::string lines;
  for (const ModelFile& file : manifest.files) {
    EXPECT_EQ(file.size, fs::file_size(Tiny() / file.name));
    EXPECT_EQ(file.sha256, *Sha256OfFile(Tiny() / file.name));
    lines += file.sha256 + " " + std::to_string(file.size) + " " + file.name + "\n";
  }
  Sha256 hash;
  hash.Update(lines);
  EXPECT_EQ(manifest.content_hash, hash.Finish());
  EXPECT_TRUE(CheckManifest(manifest).ok());
}

TEST(Manifest, TheHashIsOfTheContentAlone) {
  ModelManifest manifest = TinyManifest();
  std::reverse(manifest.files.begin(), manifest.files.end());
  EXPECT_EQ(ContentHash(manifest.files), manifest.content_hash);

  auto copy = TemporaryDirectory::Create();
  ASSERT_TRUE(copy.ok());
  fs::copy(Tiny(), copy->path(), fs::copy_options::recursive);
  EXPECT_EQ(MakeManifest(copy->path())->content_hash, manifest.content_hash);
  fs::remove(copy->path() / "vocab.txt");  // the tokenizer is the endpoint's
  EXPECT_EQ(MakeManifest(copy->path())->content_hash, manifest.content_hash);
  fs::resize_file(copy->path() / "model.safetensors",
                  fs::file_size(copy->path() / "model.safetensors") + 1);
  EXPECT_NE(MakeManifest(copy->path())->content_hash, manifest.content_hash);
  fs::remove(copy->path() / "config.json");
  EXPECT_EQ(MakeManifest(copy->path()).error().code, ErrorCode::kNotFound);
}

TEST(Manifest, OneFromElsewhereIsNotTrusted) {
  using Change = std::function<void(ModelManifest&)>;
  const auto name = [](std::string to) -> Change {
    return [to](ModelManifest& manifest) { manifest.files[0].name = to; };
  };
  const std::pair<Change, const char*> cases[] = {
      {name("../config.json"), "without a folder"},
      {name("a/b"), "without a folder"},
      {name(""), "without a folder"},
      {name(".hidden"), "without a folder"},
      {name("a\nb"), "without a folder"},
      {name(std::string("a\0b", 3)), "without a folder"},
      {name(std::string(256, 'a')), "without a folder"},
      {name("model.safetensors"), "twice or out of byte order"},
      {name("z"), "twice or out of byte order"},
      {[](ModelManifest& manifest) { manifest.files.clear(); }, "found 0 files"},
      {[](ModelManifest& manifest) { manifest.files.resize(1001, manifest.files[0]); },
       "found 1001 files"},
      {[](ModelManifest& manifest) { manifest.files[0].sha256[3] = 'G'; }, "64 hexadecimal"},
      {[](ModelManifest& manifest) { manifest.files[0].sha256.pop_back(); }, "64 hexadecimal"},
      {[](ModelManifest& manifest) { manifest.files[1].size = uint64_t{1} << 63; }, "GiB together"},
      {[](ModelManifest& manifest) { ++manifest.files[1].size; }, "its files give"},
  };
  for (const auto& [change, words] : cases) {
    ModelManifest manifest = TinyManifest();
    change(manifest);
    const Status status = CheckManifest(manifest);
    ASSERT_FALSE(status.ok()) << words;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidData);
    EXPECT_NE(status.error().message.find(words), std::string::npos) << status.error().message;
  }
}

}  // namespace
}  // namespace bertie::accelerator
