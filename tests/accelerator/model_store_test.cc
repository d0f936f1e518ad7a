#include "accelerator/model_store.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "accelerator/sizes.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/sha256.h"
#include "expect_error.h"

namespace bertie::accelerator {
namespace {

namespace fs = std::filesystem;

std::string HashOf(const std::string& text) {
  Sha256 hash;
  hash.Update(text);
  return hash.Finish();
}

ModelManifest ManifestOf(const std::vector<std::pair<std::string, std::string>>& files) {
  ModelManifest manifest;
  for (const auto& [name, text] : files) {
    manifest.files.push_back({name, text.size(), HashOf(text)});
  }
  manifest.content_hash = ContentHash(manifest.files);
  return manifest;
}

class ModelStoreTest : public testing::Test {
 protected:
  void Open(uint64_t max_bytes = 1 << 20) {
    store_.reset();
    auto opened = ModelStore::Open({dir_->path() / "store", max_bytes});
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
  }
  void SetUp() override { Open(); }

  Result<StoredFile> Send(const ModelManifest& manifest, const std::string& name,
                          const std::string& text, uint64_t offset = 0) {
    BERTIE_ASSIGN_OR_RETURN(auto upload, store_->BeginUpload(manifest.content_hash, name, offset));
    BERTIE_RETURN_IF_ERROR(upload->Write(text));
    return upload->Finish();
  }

  Result<TemporaryDirectory> dir_ = TemporaryDirectory::Create();
  std::unique_ptr<ModelStore> store_;
};

TEST(Sizes, AreAmazons) {
  EXPECT_EQ(FindSize("ml.eia2.medium")->memory_bytes, 2 * kGigabyte);
  EXPECT_EQ(FindSize("eia2.xlarge")->memory_bytes, 8 * kGigabyte);
  EXPECT_EQ(FindSize("ml.eia1.large")->memory_bytes, 2 * kGigabyte);
  EXPECT_EQ(FindSize("ml.eia1.xlarge")->units, 4);
  EXPECT_EQ(FindSize("eia1.medium")->units, 1);
  for (const char* bad : {"", "ml.", "eia3.medium", "ml.ml.eia2.large", "eia2.Medium"}) {
    EXPECT_ERROR(FindSize(bad), ErrorCode::kInvalidArgument, "ml.eia2.xlarge");
  }
  EXPECT_EQ(FormatGigabytes(8 * kGigabyte), "8 GB");
  EXPECT_EQ(FormatGigabytes(kGigabyte / 2), "0.50 GB");
}

TEST_F(ModelStoreTest, TakesAModelInPieces) {
  const auto manifest = ManifestOf({{"config.json", "{}"}, {"model.safetensors", "0123456789"}});
  auto state = store_->Find(manifest);
  ASSERT_TRUE(state.ok());
  EXPECT_FALSE(state->complete);
  EXPECT_ERROR(store_->Acquire(manifest.content_hash), ErrorCode::kNotFound, "not arrived whole");
  EXPECT_TRUE(Send(manifest, "config.json", "{}")->complete);
  EXPECT_EQ(Send(manifest, "model.safetensors", "01234")->received, 5u);
  EXPECT_ERROR(Send(manifest, "model.safetensors", "0"), ErrorCode::kInvalidArgument, "expected 5");
  EXPECT_EQ(store_->Find(manifest)->files[1].received, 5u);
  EXPECT_TRUE(Send(manifest, "model.safetensors", "56789", 5)->complete);
  EXPECT_TRUE(store_->Find(manifest)->complete);
  auto pin = store_->Acquire(manifest.content_hash);
  ASSERT_TRUE(pin.ok()) << pin.error().message;
  EXPECT_EQ(*ReadFile((*pin)->dir() / "model.safetensors", 100), "0123456789");
}

TEST_F(ModelStoreTest, ResumesAfterAKillAtAnyByte) {
  const std::string text = "the weights of a model";
  const auto manifest = ManifestOf({{"model.safetensors", text}});
  ASSERT_TRUE(store_->Find(manifest).ok());
  for (size_t sent = 0; sent < text.size(); sent += 5) {
    store_.reset();
    const pid_t child = fork();
    if (child == 0) {  // receives five bytes and dies
      auto store = ModelStore::Open({dir_->path() / "store", 1 << 20});
      if (!store.ok()) _exit(1);
      auto upload = (*store)->BeginUpload(manifest.content_hash, "model.safetensors", sent);
      if (!upload.ok() || !(*upload)->Write(text.substr(sent, 5)).ok()) _exit(2);
      kill(getpid(), SIGKILL);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    Open();
    const auto state = store_->Find(manifest);
    ASSERT_TRUE(state.ok());
    EXPECT_EQ(state->files[0].received, std::min(text.size(), sent + 5));
    EXPECT_FALSE(state->complete);
  }
  EXPECT_TRUE(Send(manifest, "model.safetensors", "", text.size())->complete);
}

TEST_F(ModelStoreTest, RefusesWhatDoesNotFitItsHash) {
  const auto manifest = ManifestOf({{"model.safetensors", "right"}});
  ASSERT_TRUE(store_->Find(manifest).ok());
  EXPECT_ERROR(Send(manifest, "model.safetensors", "wrong"), ErrorCode::kInvalidData, "SHA-256");
  EXPECT_EQ(store_->Find(manifest)->files[0].received, 0u);
  EXPECT_ERROR(Send(manifest, "model.safetensors", "rightandmore"), ErrorCode::kInvalidData,
               "more than its 5 bytes");
  EXPECT_ERROR(Send(manifest, "other", "x"), ErrorCode::kNotFound, "no file 'other'");
  EXPECT_ERROR(store_->BeginUpload("../../etc", "passwd", 0), ErrorCode::kNotFound, "FindModel");
  auto wrong = manifest;
  wrong.files[0].name = "../x";
  EXPECT_ERROR(store_->Find(wrong), ErrorCode::kInvalidData, "without a folder");
}

TEST_F(ModelStoreTest, FindsRotWhenAModelIsOpened) {
  const auto manifest = ManifestOf({{"model.safetensors", "right"}});
  ASSERT_TRUE(store_->Find(manifest).ok());
  ASSERT_TRUE(Send(manifest, "model.safetensors", "right")->complete);
  std::ofstream(store_->dir() / manifest.content_hash / "model.safetensors") << "wrung";
  EXPECT_ERROR(store_->Acquire(manifest.content_hash), ErrorCode::kInvalidData, "damaged");
  EXPECT_FALSE(store_->Find(manifest)->complete);
}

TEST_F(ModelStoreTest, AFullDiskIsReportedAndLosesNothing) {
  const std::string text(10'000, 'x');
  const auto manifest = ManifestOf({{"model.safetensors", text}});
  ASSERT_TRUE(store_->Find(manifest).ok());
  ASSERT_EQ(Send(manifest, "model.safetensors", text.substr(0, 3000))->received, 3000u);
  const pid_t child = fork();
  if (child == 0) {  // a disk that takes 5000 bytes of a file
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{5000, 5000};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto upload = store_->BeginUpload(manifest.content_hash, "model.safetensors", 3000);
    if (!upload.ok()) _exit(1);
    const Status written = (*upload)->Write(text.substr(3000));
    _exit(!written.ok() && written.error().code == ErrorCode::kResourceExhausted ? 0 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const uint64_t there = store_->Find(manifest)->files[0].received;
  EXPECT_EQ(there, 5000u);
  EXPECT_TRUE(Send(manifest, "model.safetensors", text.substr(there), there)->complete);
  const auto huge = [] {
    ModelManifest made;
    made.files.push_back({"model.safetensors", uint64_t{60} << 30, HashOf("")});
    made.content_hash = ContentHash(made.files);
    return made;
  }();
  Open(uint64_t{1} << 60);
  const auto found = store_->Find(huge);  // machines with 60 GB free take it
  if (!found.ok()) EXPECT_ERROR(found, ErrorCode::kResourceExhausted, "disk has");
}

TEST_F(ModelStoreTest, OneSenderAtATime) {
  const auto manifest = ManifestOf({{"model.safetensors", "right"}});
  ASSERT_TRUE(store_->Find(manifest).ok());
  auto first = store_->BeginUpload(manifest.content_hash, "model.safetensors", 0);
  ASSERT_TRUE(first.ok());
  EXPECT_ERROR(store_->BeginUpload(manifest.content_hash, "model.safetensors", 0),
               ErrorCode::kUnavailable, "somebody else");
  first->reset();
  EXPECT_TRUE(store_->BeginUpload(manifest.content_hash, "model.safetensors", 0).ok());
}

TEST_F(ModelStoreTest, TheOneUnusedLongestMakesRoom) {
  const auto a = ManifestOf({{"model.safetensors", std::string(400, 'a')}});
  const auto b = ManifestOf({{"model.safetensors", std::string(400, 'b')}});
  const auto c = ManifestOf({{"model.safetensors", std::string(400, 'c')}});
  Open(1000);
  for (const auto* manifest : {&a, &b}) {
    ASSERT_TRUE(store_->Find(*manifest).ok());
    const char letter = manifest == &a ? 'a' : 'b';
    ASSERT_TRUE(Send(*manifest, "model.safetensors", std::string(400, letter)).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  auto pin = store_->Acquire(a.content_hash);  // a is used last, and held
  ASSERT_TRUE(pin.ok());
  ASSERT_TRUE(store_->Find(c).ok());
  EXPECT_TRUE(fs::exists(store_->dir() / a.content_hash));
  EXPECT_FALSE(fs::exists(store_->dir() / b.content_hash));
  const auto large = ManifestOf({{"model.safetensors", std::string(700, 'd')}});
  EXPECT_ERROR(store_->Find(large), ErrorCode::kResourceExhausted, "--store-size");
  EXPECT_TRUE(fs::exists(store_->dir() / a.content_hash));
}

TEST_F(ModelStoreTest, SweepsOnlyItsOwn) {
  const auto manifest = ManifestOf({{"model.safetensors", "right"}});
  ASSERT_TRUE(store_->Find(manifest).ok());
  const fs::path root = store_->dir();
  std::ofstream(root / manifest.content_hash / ".model.new-abc123") << "left";
  fs::create_directory(root / std::string(64, 'a'));
  std::ofstream(root / std::string(64, 'a') / "model.safetensors") << "no manifest";
  std::ofstream(root / "somebody's notes") << "keep";
  // The power went after the name was there and before its bytes were.
  std::ofstream(root / manifest.content_hash / "model.safetensors") << "ri";
  EXPECT_ERROR(ModelStore::Open({root, 1000}), ErrorCode::kUnavailable, "--store");
  Open();
  EXPECT_FALSE(fs::exists(root / manifest.content_hash / ".model.new-abc123"));
  EXPECT_FALSE(fs::exists(root / std::string(64, 'a')));
  EXPECT_TRUE(fs::exists(root / "somebody's notes"));
  EXPECT_FALSE(store_->Find(manifest)->complete);
}

}  // namespace
}  // namespace bertie::accelerator
