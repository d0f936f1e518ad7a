#include "formats/tar.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include "base/directory.h"
#include "base/file.h"
#include "expect_error.h"

namespace bertie::formats {
namespace {

namespace fs = std::filesystem;

const fs::path kTarData = fs::path(BERTIE_TESTS_DIR) / "formats/data/tar";

using Files = std::map<std::string, std::string>;

Files Tree(const fs::path& dir) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    const std::string name = fs::relative(entry.path(), dir).string();
    files[name] = entry.is_directory() ? "(folder)" : *ReadFile(entry.path(), 200 << 20);
  }
  return files;
}

// dir_/root is what archives are unpacked into; dir_ shows whatever got out of it.
class TarTest : public testing::Test {
 protected:
  TarTest() { fs::create_directory(root_); }

  Status Extract(const std::string& name, const ExtractLimits& limits = {}) const {
    return ExtractTar(kTarData / (name + ".tar.gz"), root_, limits);
  }

  void ExpectFiles(const std::string& name, const Files& files) {
    SCOPED_TRACE(name);
    fs::remove_all(root_);
    fs::create_directory(root_);
    const Status status = Extract(name);
    ASSERT_TRUE(status.ok()) << status.error().message;
    EXPECT_EQ(Tree(root_), files);
  }

  fs::path Make(const std::string& name, const std::string& content) const {
    std::ofstream(dir_.path() / name, std::ios::binary) << content;
    return dir_.path() / name;
  }

  TemporaryDirectory dir_ = TemporaryDirectory::Create().value();
  fs::path root_ = dir_.path() / "root";
};

TEST_F(TarTest, ExtractsWhatOthersPack) {
  ExpectFiles("good", {{"config.json", "{}"},
                       {"a", "(folder)"},
                       {"a/b", "(folder)"},
                       {"a/b/deep.txt", "deep"},
                       {"c", "(folder)"}});
  ExpectFiles("root_entry", {{"config.json", "{}"}});
  const std::string x(200, 'x');
  const std::string y(200, 'y');
  const Files long_names = {{x, "(folder)"}, {x + "/" + y, "1"}};
  ExpectFiles("gnu_long_name", long_names);
  ExpectFiles("pax_long_name", long_names);
  ExpectFiles("utf8_name", {{"mod\u00e8le", "(folder)"}, {"mod\u00e8le/\u6a21.txt", "1"}});
  ExpectFiles("plain", {{"config.json", "{}"}});
  ExpectFiles("members", {{"config.json", "{}"}});
}

TEST_F(TarTest, LastOfTwoEntriesOfOneNameWins) { ExpectFiles("duplicate", {{"a.txt", "second"}}); }

TEST_F(TarTest, FilesAreNotExecutable) {
  ASSERT_TRUE(Extract("setuid").ok());
  EXPECT_EQ(fs::status(root_ / "setuid.sh").permissions() & fs::perms(07133), fs::perms::none);
}

struct HostileTar {
  const char* file;
  const char* message;
  ErrorCode code = ErrorCode::kInvalidData;
};

constexpr HostileTar kHostileTars[] = {
    {"parent", "the name '../escaped.txt' has a '..'"},
    {"parent_inside", "the name 'a/../../escaped.txt' has a '..'"},
    {"absolute", "the name '/tmp/bertie-escaped.txt' is absolute"},
    {"symlink", "the entry 'link' is a link or a device"},
    {"symlink_then_write", "the entry 'link' is a link or a device"},
    {"hardlink", "the entry 'hard' is a link or a device"},
    {"device", "the entry 'null' is a link or a device"},
    {"fifo", "the entry 'pipe' is a link or a device"},
    {"file_then_folder", "cannot open as a folder: Not a directory", ErrorCode::kNotFound},
    {"folder_then_file", "cannot replace: Is a directory", ErrorCode::kIo},
    {"many_folders", "has too many folders"},
    {"zeros", "unpacks to more than 200 times its own size", ErrorCode::kResourceExhausted},
    {"truncated", ""},
    {"truncated_tar", ""},
    {"size_lie", ""},
    {"garbage", "not a whole tar archive"},
    {"text", "not a whole tar archive"},
    {"nothing", "found no entries, expected a tar archive"},
};

TEST_F(TarTest, RefusesHostileArchivesAndWritesNothingOutside) {
  const fs::path absolute = "/tmp/bertie-escaped.txt";
  ASSERT_FALSE(fs::exists(absolute));
  for (const HostileTar& hostile : kHostileTars) {
    SCOPED_TRACE(hostile.file);
    const Status status = Extract(hostile.file);
    EXPECT_ERROR(status, hostile.code, hostile.message);
    EXPECT_ERROR(status, hostile.code, std::string(hostile.file) + ".tar.gz: ");
    for (const auto& [name, content] : Tree(dir_.path())) {
      EXPECT_TRUE(name.starts_with("root")) << name << " was written outside";
    }
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      EXPECT_TRUE(entry.symlink_status().type() == fs::file_type::regular ||
                  entry.symlink_status().type() == fs::file_type::directory)
          << entry.path();
    }
    EXPECT_FALSE(fs::exists(absolute));
    fs::remove_all(root_);
    fs::create_directory(root_);
  }
}

TEST_F(TarTest, EveryStoredSampleIsTested) {
  std::set<std::string> names = {"good",    "gnu_long_name", "pax_long_name", "utf8_name", "plain",
                                 "members", "duplicate",     "setuid",        "root_entry"};
  for (const HostileTar& hostile : kHostileTars) names.insert(hostile.file);
  for (const auto& file : fs::directory_iterator(kTarData)) {
    EXPECT_TRUE(names.contains(file.path().stem().stem().string())) << file.path();
  }
}

TEST_F(TarTest, LimitsBytesAndEntries) {
  EXPECT_ERROR(Extract("good", {.max_bytes = 3}), ErrorCode::kResourceExhausted,
               "unpacks to more than 3 bytes");
  EXPECT_ERROR(Extract("good", {.max_entries = 1}), ErrorCode::kResourceExhausted,
               "more than 1 entries");
  EXPECT_ERROR(Extract("size_lie", {.max_bytes = 1 << 20}), ErrorCode::kResourceExhausted,
               "unpacks to more than 1048576 bytes");
  EXPECT_ERROR(ExtractTar(dir_.path() / "absent.tar.gz", root_), ErrorCode::kNotFound,
               "absent.tar.gz: cannot open: No such file");
}

TEST_F(TarTest, NeverWritesThroughALinkThatIsAlreadyThere) {
  fs::create_directory(dir_.path() / "outside");
  fs::create_directory_symlink(dir_.path() / "outside", root_ / "a");
  EXPECT_FALSE(Extract("good").ok());
  EXPECT_TRUE(fs::is_empty(dir_.path() / "outside"));
}

TEST_F(TarTest, PacksWhatItExtracts) {
  const std::string large(3'000'000, 'x');
  const auto archive = dir_.path() / "model.tar.gz";
  const Status status = WriteTarGz(archive, {{"z.bin", Make("1", large)},
                                             {"config.json", Make("2", "{}")},
                                             {"empty", Make("3", "")},
                                             {"sub/deep.txt", Make("4", "deep")}});
  ASSERT_TRUE(status.ok()) << status.error().message;
  ASSERT_TRUE(ExtractTar(archive, root_).ok());
  EXPECT_EQ(Tree(root_), (Files{{"z.bin", large},
                                {"config.json", "{}"},
                                {"empty", ""},
                                {"sub", "(folder)"},
                                {"sub/deep.txt", "deep"}}));
}

TEST_F(TarTest, SameFilesGiveTheSameBytes) {
  const auto one = dir_.path() / "one.tar.gz";
  const auto two = dir_.path() / "two.tar.gz";
  ASSERT_TRUE(WriteTarGz(one, {{"a", Make("a", "1")}, {"b", Make("b", "2")}}).ok());
  fs::permissions(dir_.path() / "a", fs::perms(0600));
  fs::last_write_time(dir_.path() / "a", fs::file_time_type::clock::now() - std::chrono::hours(99));
  ASSERT_TRUE(WriteTarGz(two, {{"b", dir_.path() / "b"}, {"a", dir_.path() / "a"}}).ok());
  EXPECT_EQ(*ReadFile(one, 10'000), *ReadFile(two, 10'000));
}

TEST_F(TarTest, FailedPackingLeavesNothing) {
  const auto archive = dir_.path() / "model.tar.gz";
  EXPECT_ERROR(WriteTarGz(archive, {{"a", dir_.path() / "absent"}}), ErrorCode::kNotFound,
               "absent");
  EXPECT_ERROR(WriteTarGz(dir_.path() / "no/such/x.tar.gz", {}), ErrorCode::kNotFound, "no/such");
  signal(SIGXFSZ, SIG_IGN);
  rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  std::string noise(500'000, '\0');  // that gzip cannot shrink
  uint32_t state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  const auto file = Make("noise", noise);
  const rlimit limit{100'000, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  const Status status = WriteTarGz(archive, {{"noise", file}});
  setrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_ERROR(status, ErrorCode::kIo, "model.tar.gz: cannot write: File too large");
  EXPECT_EQ(Tree(dir_.path()).size(), 2u) << "root and the noise";
}

}  // namespace
}  // namespace bertie::formats
