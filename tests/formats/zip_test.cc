#include "formats/zip.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "base/file.h"
#include "expect_error.h"

namespace bertie::formats {
namespace {

namespace fs = std::filesystem;

const fs::path kZipData = fs::path(BERTIE_TESTS_DIR) / "formats/data/zip";

std::string Load(const std::string& name) {
  return *ReadFile(kZipData / (name + ".zip"), 1'000'000);
}

Result<ZipArchive> ParseZip(const std::string& bytes) {
  return ZipArchive::Parse(std::as_bytes(std::span(bytes)), "f");
}

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Zip, ReadsStoredEntriesWhereTheyLie) {
  const std::string bytes = Load("good");
  const auto archive = ParseZip(bytes);
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->entries().size(), 2u);
  const auto one = archive->Read("a/one");
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(Text(*one), "first");
  EXPECT_GE(Text(*one).data(), bytes.data());
  EXPECT_LT(Text(*one).data(), bytes.data() + bytes.size());
  EXPECT_EQ(Text(*archive->Read("a/two")), "second");
  EXPECT_ERROR(archive->Read("a/three"), ErrorCode::kNotFound,
               "f: the archive has no entry 'a/three'");
}

TEST(Zip, ReadsZip64AndEmptyArchives) {
  const std::string zip64 = Load("zip64");
  EXPECT_EQ(Text(*ParseZip(zip64)->Read("big")), "content");
  EXPECT_TRUE(ParseZip(Load("empty"))->entries().empty());
}

TEST(Zip, FindsTheEndRecordBehindAComment) {
  std::string bytes = Load("good");
  bytes[bytes.size() - 2] = 5;
  bytes += "PK\5\6!";
  EXPECT_TRUE(ParseZip(bytes).ok());
}

TEST(Zip, ListsCompressedAndEncryptedEntriesButDoesNotReadThem) {
  const std::string deflated = Load("deflated");
  EXPECT_ERROR(ParseZip(deflated)->Read("zeros"), ErrorCode::kUnsupported,
               "f: the entry 'zeros' is compressed (method 8)");
  const std::string encrypted = Load("encrypted");
  EXPECT_ERROR(ParseZip(encrypted)->Read("one"), ErrorCode::kUnsupported, "'one' is encrypted");
}

TEST(Zip, SniffsLocalHeaders) {
  const std::string good = Load("good");
  EXPECT_TRUE(ZipArchive::Sniff(std::as_bytes(std::span(good))));
  EXPECT_FALSE(ZipArchive::Sniff({}));
}

struct HostileZip {
  const char* file;
  const char* message;
  ErrorCode code = ErrorCode::kInvalidData;
};

constexpr HostileZip kHostileZips[] = {
    {"absolute", "the name '/etc/x' is absolute"},
    {"parent", "the name 'a/../../x' has a '..'"},
    {"backslash", "the name 'a\\x' holds a backslash"},
    {"drive", "the name 'c:x' has a drive"},
    {"nul", "the name 'a\\x00b' holds a NUL"},
    {"duplicate", "the entry 'one' comes twice"},
    {"renamed", "'one': its local header says something else"},
    {"resized", "'one': its local header says something else"},
    {"overlap_name", "'two': its local header says something else"},
    {"overlap_data", "two entries overlap"},
    {"leaves", "'one': its data leaves the file"},
    {"parts", "a zip archive in several parts", ErrorCode::kUnsupported},
    {"many", "a zip archive of 60000 entries, expected at most 1"},
    {"truncated", "no end record; the file may be cut short"},
    {"directory_offset", "the directory leaves the file"},
    {"zip64_lacking", "the entry 'one' lacks its zip64 sizes"},
};

TEST(Zip, RefusesHostileArchives) {
  for (const HostileZip& hostile : kHostileZips) {
    SCOPED_TRACE(hostile.file);
    EXPECT_ERROR(ParseZip(Load(hostile.file)), hostile.code, hostile.message);
  }
}

TEST(Zip, EveryStoredSampleIsTested) {
  std::set<std::string> names = {"good", "zip64", "empty", "deflated", "encrypted"};
  for (const HostileZip& hostile : kHostileZips) names.insert(hostile.file);
  for (const auto& file : fs::directory_iterator(kZipData)) {
    EXPECT_TRUE(names.contains(file.path().stem().string())) << file.path();
  }
}

TEST(Zip, CutArchivesAreRefused) {
  for (const char* name : {"good", "zip64"}) {
    const std::string bytes = Load(name);
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(ParseZip(bytes.substr(0, size)).ok()) << name << " cut to " << size;
    }
  }
}

// Each byte changed to each of a few values: never a crash, and what is read stays in the file.
TEST(Zip, ChangedBytesNeverLeaveTheFile) {
  const std::string good = Load("zip64");
  for (size_t at = 0; at < good.size(); ++at) {
    for (const char value : {'\x00', '\x01', '\x7f', '\x80', '\xff'}) {
      std::string bytes = good;
      bytes[at] = value;
      const auto archive = ParseZip(bytes);
      if (!archive.ok()) continue;
      for (const auto& [name, entry] : archive->entries()) {
        EXPECT_LE(entry.data.size(), bytes.size());
        for (const std::byte b : entry.data) EXPECT_LE(std::to_integer<int>(b), 255);
      }
    }
  }
}

}  // namespace
}  // namespace bertie::formats
