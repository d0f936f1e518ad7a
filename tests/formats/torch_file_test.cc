#include "formats/torch_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/directory.h"
#include "base/file.h"
#include "expect_error.h"

namespace bertie::formats {
namespace {

namespace fs = std::filesystem;

const fs::path kTorchData = fs::path(BERTIE_TESTS_DIR) / "formats/data/torch";

std::vector<float> Floats(const TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.elements()));
  EXPECT_TRUE(CopyToFloat(view, values.data()));
  return values;
}

const std::vector<float> kCounted = {0, 1, 2, 3, 4, 5};

TEST(TorchFile, ReadsTheZipForm) {
  const auto file = TorchFile::Open(kTorchData / "good_zip.bin");
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->tensors.size(), 3u) << "what is not a tensor is left out";
  EXPECT_EQ(Floats(file->tensors.at("w")), kCounted);
  EXPECT_EQ(file->tensors.at("w").shape, (Shape{2, 3}));
  EXPECT_EQ(file->tensors.at("half").dtype, DType::kF16);
  EXPECT_EQ(Floats(file->tensors.at("half")), kCounted);
  EXPECT_EQ(file->tensors.at("long").dtype, DType::kI64);
}

TEST(TorchFile, ReadsTheLegacyForm) {
  const auto file = TorchFile::Open(kTorchData / "good_legacy.bin");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(Floats(file->tensors.at("w")), kCounted);
}

TEST(TorchFile, ReadsWhatIsWritten) {
  const auto folder = *TemporaryDirectory::Create("torch-");
  const fs::path path = folder.path() / "pytorch_model.bin";
  const std::vector<float> floats = kCounted;
  const std::vector<int64_t> whole = {1, -2, int64_t{1} << 40};
  ASSERT_TRUE(
      WriteTorchFile(
          path, {{"z", {DType::kF32, {2, 3}, reinterpret_cast<const std::byte*>(floats.data())}},
                 {"a", {DType::kI64, {3}, reinterpret_cast<const std::byte*>(whole.data())}},
                 {"none", {DType::kF32, {0, 4}, nullptr}}})
          .ok());
  const auto file = TorchFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(Floats(file->tensors.at("z")), kCounted);
  EXPECT_EQ(file->tensors.at("z").shape, (Shape{2, 3}));
  EXPECT_EQ(std::memcmp(file->tensors.at("a").data, whole.data(), 24), 0);
  EXPECT_EQ(file->tensors.at("none").shape, (Shape{0, 4}));
  EXPECT_ERROR(WriteTorchFile(path, {{"flags", {DType::kBool, {0}, nullptr}}}),
               ErrorCode::kUnsupported, "flags has elements of BOOL");
}

TEST(TorchFile, StorageOutlivesTheFile) {
  TensorView view;
  std::shared_ptr<const void> storage;
  {
    auto file = *TorchFile::Open(kTorchData / "good_legacy.bin");
    view = file.tensors.at("w");
    storage = file.storage;
  }
  EXPECT_EQ(Floats(view), kCounted);
}

// Each was made by the real torch.save and would create a file if anything in it ran.
TEST(TorchFile, RunsNothingAndNamesWhatWasAskedFor) {
  struct Hostile {
    const char* name;
    const char* protocol2;
    const char* protocol4;
  };
  for (const Hostile& hostile : {
           Hostile{"os_system", "'posix.system'", "'posix.system'"},
           Hostile{"eval", "'__builtin__.eval'", "'builtins.eval'"},
           Hostile{"nested", "'commands.Popen'", "'subprocess.Popen'"},
           Hostile{"getattr", "'__builtin__.getattr'", "'builtins.getattr'"},
           Hostile{"stateful", "'__main__.Stateful'", "'__main__.Stateful'"},
           Hostile{"torch_load", "'torch.serialization.load'", "'torch.serialization.load'"},
       }) {
    for (const char* form : {"zip", "legacy", "pickle4"}) {
      const fs::path path = kTorchData / (std::string(hostile.name) + "_" + form + ".bin");
      const std::string name =
          std::string(form) == "pickle4" ? hostile.protocol4 : hostile.protocol2;
      EXPECT_ERROR(TorchFile::Open(path), ErrorCode::kUnsupported, path.string() + ": ");
      EXPECT_ERROR(TorchFile::Open(path), ErrorCode::kUnsupported, "asks for " + name);
    }
  }
  EXPECT_FALSE(fs::exists("BERTIE_WAS_HERE"));
}

TEST(TorchFile, RefusesWhatIsNotAStateDict) {
  EXPECT_ERROR(TorchFile::Open(kTorchData / "list_zip.bin"), ErrorCode::kInvalidData,
               "found no tensors");
  EXPECT_ERROR(TorchFile::Open(kTorchData / "torchscript.bin"), ErrorCode::kUnsupported,
               "found a TorchScript module, expected a state dict");
  EXPECT_ERROR(TorchFile::Open(kTorchData / "expanded_zip.bin"), ErrorCode::kUnsupported,
               "tensor 'w': repeats its elements by strides [0, 1]");
  EXPECT_ERROR(TorchFile::Open(kTorchData / "absent"), ErrorCode::kNotFound, "No such file");
  const std::string text = "version https://git-lfs.github.com/spec/v1\n";
  EXPECT_ERROR(TorchFile::Parse(std::as_bytes(std::span(text)), "f"), ErrorCode::kInvalidData,
               "f: found 'version ' at its beginning, expected a file by torch.save");
  EXPECT_ERROR(TorchFile::Parse({}, "f"), ErrorCode::kInvalidData, "f: found '' at its beginning");
}

Result<TorchFile> ParseTorch(const std::string& bytes) {
  return TorchFile::Parse(std::as_bytes(std::span(bytes)), "f");
}

TEST(TorchFile, CutFilesAreRefused) {
  for (const char* name : {"good_zip.bin", "good_legacy.bin"}) {
    const std::string bytes = *ReadFile(kTorchData / name, 100'000);
    ASSERT_TRUE(ParseTorch(bytes).ok());
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(ParseTorch(bytes.substr(0, size)).ok()) << name << " cut to " << size;
    }
  }
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(TorchFile, ZipFormErrorsNameTheFault) {
  const std::string good = *ReadFile(kTorchData / "good_zip.bin", 100'000);
  EXPECT_ERROR(ParseTorch(Replaced(good, "little", "bigger")), ErrorCode::kUnsupported,
               "found the byte order 'bigger', expected 'little'");
  // The pickle asks for more elements than the archive has.
  EXPECT_ERROR(ParseTorch(Replaced(good, "K\6tq", "K\7tq")), ErrorCode::kInvalidData,
               "its storage '0' has 24 bytes, expected 7 elements of F32");
  EXPECT_ERROR(ParseTorch(Replaced(good, "K\6tq", "K\5tq")), ErrorCode::kInvalidData,
               "leaves its storage of 5 elements");
}

TEST(TorchFile, LegacyFormErrorsNameTheFault) {
  const std::string good = *ReadFile(kTorchData / "good_legacy.bin", 100'000);
  EXPECT_ERROR(ParseTorch(Replaced(good, "\x50\x19", "\x50\x18")), ErrorCode::kInvalidData,
               "without PyTorch's magic number");
  EXPECT_ERROR(ParseTorch(Replaced(good, "M\xe9\x03.", "M\xe8\x03.")), ErrorCode::kUnsupported,
               "found PyTorch's protocol version 1000, expected 1001");
  EXPECT_ERROR(ParseTorch(Replaced(good, "\x88", "\x89")), ErrorCode::kUnsupported,
               "was not written by a little-endian machine");
  const size_t data = good.size() - 24;
  std::string huge = good;
  huge[data - 1] = '\x10';
  EXPECT_ERROR(ParseTorch(huge), ErrorCode::kInvalidData, "but the file has only 24 bytes left");
  huge[data - 1] = '\x90';
  EXPECT_ERROR(ParseTorch(huge), ErrorCode::kInvalidData, "but the file has only 24 bytes left");
  std::string fewer = good;
  fewer[data - 8] = 5;
  EXPECT_ERROR(ParseTorch(fewer), ErrorCode::kInvalidData,
               "has 20 bytes, expected 6 elements of F32");
}

// Each byte changed to each of a few values: never a crash, and every view can be read.
TEST(TorchFile, ChangedBytesNeverLeaveTheFile) {
  for (const char* name : {"good_zip.bin", "good_legacy.bin"}) {
    const std::string good = *ReadFile(kTorchData / name, 100'000);
    for (size_t at = 0; at < good.size(); ++at) {
      for (const char value : {'\x00', '\x01', '\x7f', '\x80', '\xff'}) {
        std::string bytes = good;
        bytes[at] = value;
        const auto file = ParseTorch(bytes);
        if (!file.ok()) continue;
        for (const auto& [tensor, view] : file->tensors) {
          const std::string copy(reinterpret_cast<const char*>(view.data), view.bytes());
          EXPECT_LE(copy.size(), bytes.size());
        }
      }
    }
  }
}

}  // namespace
}  // namespace bertie::formats
