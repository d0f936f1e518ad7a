// Saving while the operating system refuses: each call that can fail is made to fail once, and each
// time the old model or the new one is there, whole, and nothing else is left.

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/directory.h"
#include "model/checkpoint.h"
#include "model/parameters.h"

namespace {

// One process, one thread: the functions below cannot be handed an object.
int g_calls_left = -1;  // until a call fails; negative: none does
bool g_fired = false;
bool g_no_exchange = false;

// True when this call is the one to fail.
bool Fails(int reason) {
  if (g_calls_left < 0 || g_calls_left-- > 0) return false;
  g_fired = true;
  errno = reason;
  return true;
}

}  // namespace

// These stand before the C library's own, for everything in this program.
extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  if (Fails(ENOSPC)) return -1;
  return syscall(SYS_write, fd, data, size);
}

int fsync(int fd) { return Fails(EIO) ? -1 : static_cast<int>(syscall(SYS_fsync, fd)); }

int rename(const char* from, const char* to) noexcept {
  return Fails(EACCES) ? -1 : static_cast<int>(syscall(SYS_rename, from, to));
}

int renameat2(int from_dir, const char* from, int to_dir, const char* to, unsigned flags) noexcept {
  if (Fails(EACCES)) return -1;
  if (g_no_exchange) {
    errno = EINVAL;
    return -1;
  }
  return static_cast<int>(syscall(SYS_renameat2, from_dir, from, to_dir, to, flags));
}

int linkat(int from_dir, const char* from, int to_dir, const char* to, int flags) noexcept {
  if (Fails(EPERM)) return -1;
  return static_cast<int>(syscall(SYS_linkat, from_dir, from, to_dir, to, flags));
}

int fchmod(int fd, mode_t mode) noexcept {
  return Fails(EPERM) ? -1 : static_cast<int>(syscall(SYS_fchmod, fd, mode));
}
}

namespace bertie::model {
namespace {

namespace fs = std::filesystem;

const fs::path kModels = fs::path(BERTIE_TESTS_DIR) / "model/data";

class SaveFaults : public testing::TestWithParam<bool> {
 protected:
  ~SaveFaults() override {
    g_calls_left = -1;
    g_no_exchange = false;
  }

  // The first number of the classifier's bias tells the models apart.
  static float Mark(const fs::path& model) {
    const auto checkpoint = LoadCheckpoint(model);
    if (!checkpoint.ok()) {
      ADD_FAILURE() << checkpoint.error().message;
      return -1;
    }
    std::vector<float> bias(2);
    EXPECT_TRUE(CopyToFloat(checkpoint->tensors.at("classifier.bias"), bias.data()));
    EXPECT_TRUE(text::Tokenizer::Load(model).ok());
    return bias[0];
  }

  Status Save(float mark) {
    bias_ = {mark, 0};
    std::vector<NamedTensor> tensors;
    for (const ParameterSpec& spec : ParameterSpecs(checkpoint_.config)) {
      tensors.push_back({spec.name, checkpoint_.tensors.at(spec.name)});
    }
    tensors.back().tensor = {DType::kF32, {2}, reinterpret_cast<const std::byte*>(bias_.data())};
    return SaveCheckpoint(out_, checkpoint_.config, tensors, tokenizer_);
  }

  size_t Entries() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()));
  }

  TemporaryDirectory dir_ = TemporaryDirectory::Create().value();
  fs::path out_ = dir_.path() / "out";
  Checkpoint checkpoint_ = LoadCheckpoint(kModels / "safetensors").value();
  text::Tokenizer tokenizer_ = text::Tokenizer::Load(kModels / "safetensors").value();
  std::vector<float> bias_;
};

// With the exchange of two folders in one step, and without, as on some file systems.
TEST_P(SaveFaults, EveryFailingCallLeavesTheOldModelOrTheNewOne) {
  ASSERT_TRUE(Save(1).ok());
  std::FILE* history = std::fopen((out_ / "history.jsonl").c_str(), "w");
  ASSERT_NE(history, nullptr);
  std::fclose(history);
  g_no_exchange = !GetParam();
  float current = 1;
  int call = 0;
  for (;; ++call) {
    SCOPED_TRACE("call " + std::to_string(call));
    const float next = current + 1;
    g_fired = false;
    g_calls_left = call;
    const Status status = Save(next);
    g_calls_left = -1;
    const float found = Mark(out_);
    if (!g_fired) {
      EXPECT_TRUE(status.ok()) << status.error().message;
      EXPECT_EQ(found, next);
      EXPECT_EQ(Entries(), 1u) << "something was left beside the model";
      break;
    }
    if (status.ok()) {
      EXPECT_EQ(found, next) << "success was told of a save that did not happen";
    } else {
      EXPECT_TRUE(found == current || found == next) << found;
      EXPECT_EQ(status.error().message.find('\n'), std::string::npos);
    }
    EXPECT_TRUE(fs::exists(out_ / "history.jsonl"));
    EXPECT_LE(Entries(), status.ok() ? 1u : 2u) << "something was left beside the model";
    current = found;
    ASSERT_LT(call, 500);
  }
  EXPECT_GT(call, 20) << "the faults did not reach the saving";
}

INSTANTIATE_TEST_SUITE_P(Exchange, SaveFaults, testing::Bool());

TEST_P(SaveFaults, ArchiveIsWholeOrAbsent) {
  ASSERT_TRUE(Save(1).ok());
  const fs::path archive = dir_.path() / "model.tar.gz";
  for (int call = 0;; ++call) {
    g_fired = false;
    g_calls_left = call;
    const Status status = SaveArchive(out_, archive);
    g_calls_left = -1;
    if (!g_fired) {
      EXPECT_TRUE(status.ok()) << status.error().message;
      break;
    }
    // The last call is the folder's sync, after the archive stands in its place.
    EXPECT_FALSE(status.ok());
    EXPECT_LE(Entries(), 2u) << "a temporary file was left";
    ASSERT_LT(call, 500);
  }
}

}  // namespace
}  // namespace bertie::model
