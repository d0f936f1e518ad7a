#include "base/file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/directory.h"
#include "expect_error.h"

namespace bertie {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  fs::path Path(const std::string& name) const { return dir_.path() / name; }

  fs::path Make(const std::string& name, const std::string& content) const {
    std::ofstream(Path(name), std::ios::binary) << content;
    return Path(name);
  }

  size_t Count() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()));
  }

  TemporaryDirectory dir_ = TemporaryDirectory::Create().value();
};

// Files may grow to this many bytes, as on a disk that is full then.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);  // so that write fails instead
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, SIG_DFL);
  }

 private:
  rlimit old_;
};

TEST_F(FileTest, ReadsAWholeFile) {
  const std::string content("a\0b\r\nc", 6);
  EXPECT_EQ(*ReadFile(Make("f", content), 6), content);
  EXPECT_EQ(*ReadFile(Make("empty", ""), 0), "");
  const std::string large(3'000'000, 'x');
  EXPECT_EQ(*ReadFile(Make("large", large), 10'000'000), large);
}

TEST_F(FileTest, ReadsAPipeToItsEnd) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(Path("pipe")) << std::string(100'000, 'y'); });
  const auto content = ReadFile(Path("pipe"), 1'000'000);
  writer.join();
  ASSERT_TRUE(content.ok()) << content.error().message;
  EXPECT_EQ(content->size(), 100'000u);
}

TEST_F(FileTest, ReadStopsAtTheLimit) {
  EXPECT_ERROR(ReadFile(Make("f", "12345"), 4), ErrorCode::kResourceExhausted,
               "f: longer than the limit of 4 bytes");
  // A file that says it has no bytes and never ends.
  EXPECT_ERROR(ReadFile("/dev/zero", 100'000), ErrorCode::kResourceExhausted, "/dev/zero: longer");
}

TEST_F(FileTest, ReadErrorsNameThePathAndTheReason) {
  EXPECT_ERROR(ReadFile(Path("absent"), 10), ErrorCode::kNotFound,
               Path("absent").string() + ": cannot open: No such file or directory");
  EXPECT_ERROR(ReadFile(dir_.path(), 10), ErrorCode::kIo, "Is a directory");
}

TEST_F(FileTest, MapsAFile) {
  const auto file = MappedFile::Open(Make("f", "content"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ((*file)->bytes().size(), 7u);
  EXPECT_EQ(std::memcmp((*file)->bytes().data(), "content", 7), 0);
  EXPECT_TRUE((*MappedFile::Open(Make("empty", "")))->bytes().empty());
}

TEST_F(FileTest, MapsRegularFilesOnly) {
  EXPECT_ERROR(MappedFile::Open(dir_.path()), ErrorCode::kInvalidArgument, "not a regular file");
  EXPECT_ERROR(MappedFile::Open("/dev/null"), ErrorCode::kInvalidArgument, "not a regular file");
  EXPECT_ERROR(MappedFile::Open(Path("absent")), ErrorCode::kNotFound, "No such file");
  // Opening a pipe that nobody writes to must not hang.
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_ERROR(MappedFile::Open(Path("pipe")), ErrorCode::kInvalidArgument, "not a regular file");
}

TEST_F(FileTest, MappingOutlivesARemovedAndAReplacedFile) {
  const auto file = MappedFile::Open(Make("f", "old"));
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "new content").ok());
  fs::remove(Path("f"));
  EXPECT_EQ(std::memcmp((*file)->bytes().data(), "old", 3), 0);
  EXPECT_TRUE((*file)->CheckUnchanged().ok());
}

TEST_F(FileTest, MappingNoticesAFileCutShort) {
  const auto file = MappedFile::Open(Make("f", "content"));
  EXPECT_TRUE((*file)->CheckUnchanged().ok());
  fs::resize_file(Path("f"), 3);
  EXPECT_ERROR((*file)->CheckUnchanged(), ErrorCode::kInvalidData,
               "changed while it was being read (7 bytes before, 3 now)");
}

TEST_F(FileTest, WritesAtomically) {
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "first").ok());
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "second").ok());
  EXPECT_EQ(*ReadFile(Path("f"), 100), "second");
  EXPECT_EQ(Count(), 1u);
}

TEST_F(FileTest, WritesIntoTheWorkingFolder) {
  const fs::path old = fs::current_path();
  fs::current_path(dir_.path());
  EXPECT_TRUE(WriteFileAtomically("f", "here").ok());
  fs::current_path(old);
  EXPECT_EQ(*ReadFile(Path("f"), 100), "here");
}

TEST_F(FileTest, TargetIsUntouchedUntilCommit) {
  Make("f", "old");
  {
    auto file = AtomicFile::Create(Path("f"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Write("half of the ").ok());
    EXPECT_EQ(*ReadFile(Path("f"), 100), "old");
    EXPECT_EQ(Count(), 2u);
  }
  EXPECT_EQ(*ReadFile(Path("f"), 100), "old");
  EXPECT_EQ(Count(), 1u) << "the temporary file was left behind";
}

TEST_F(FileTest, KeepsPermissionsOfTheTarget) {
  Make("f", "old");
  fs::permissions(Path("f"), fs::perms(0600));
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "new").ok());
  EXPECT_EQ(fs::status(Path("f")).permissions(), fs::perms(0600));
  ASSERT_TRUE(WriteFileAtomically(Path("g"), "new").ok());
  EXPECT_EQ(fs::status(Path("g")).permissions(), fs::perms(0644));
}

TEST_F(FileTest, FullDiskLeavesTheOldContentAndNoRubbish) {
  Make("f", "old");
  {
    FileSizeLimit limit(4'096);
    EXPECT_ERROR(WriteFileAtomically(Path("f"), std::string(10'000, 'x')), ErrorCode::kIo,
                 "f: cannot write: File too large");
  }
  EXPECT_EQ(*ReadFile(Path("f"), 100), "old");
  EXPECT_EQ(Count(), 1u);
}

TEST_F(FileTest, WriteErrorsNameThePath) {
  EXPECT_ERROR(WriteFileAtomically(Path("absent/f"), "x"), ErrorCode::kNotFound,
               "absent/f: cannot create a file beside: No such file");
  fs::create_directory(Path("folder"));
  EXPECT_ERROR(WriteFileAtomically(Path("folder"), "x"), ErrorCode::kInvalidArgument,
               "folder: not a regular file");
  EXPECT_EQ(Count(), 1u);
}

TEST_F(FileTest, MovedFileIsCommittedOnce) {
  auto file = *AtomicFile::Create(Path("f"));
  ASSERT_TRUE(file.Write("content").ok());
  AtomicFile moved = std::move(file);
  ASSERT_TRUE(moved.Commit().ok());
  EXPECT_EQ(*ReadFile(Path("f"), 100), "content");
}

}  // namespace
}  // namespace bertie
