#include "base/directory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include "base/file.h"
#include "expect_error.h"

namespace bertie {
namespace {

namespace fs = std::filesystem;

bool KeepAll(const std::string&) { return false; }
bool DropWeights(const std::string& name) { return name.ends_with(".bin"); }

void Write(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

// Every file below a folder, hidden ones too, with its content.
std::map<std::string, std::string> Tree(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    const std::string name = fs::relative(entry.path(), dir).string();
    files[name] = entry.is_directory() ? "(folder)" : *ReadFile(entry.path(), 1'000'000);
  }
  return files;
}

using Files = std::map<std::string, std::string>;

class AtomicDirectoryTest : public testing::Test {
 protected:
  fs::path Target() const { return dir_.path() / "model"; }
  TemporaryDirectory dir_ = TemporaryDirectory::Create().value();
};

TEST(TemporaryDirectory, IsRemovedWithItsContent) {
  fs::path path;
  {
    auto dir = TemporaryDirectory::Create("test-");
    ASSERT_TRUE(dir.ok()) << dir.error().message;
    path = dir->path();
    EXPECT_TRUE(path.filename().string().starts_with("test-"));
    EXPECT_EQ(fs::status(path).permissions(), fs::perms(0700));
    Write(path / "a/b/c", "x");
    TemporaryDirectory moved = *std::move(dir);
    EXPECT_TRUE(fs::exists(path));
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(TemporaryDirectory, ErrorNamesTheParent) {
  EXPECT_ERROR(TemporaryDirectory::Create("x", "/nowhere/at/all"), ErrorCode::kNotFound,
               "/nowhere/at/all: cannot create a folder in");
}

TEST_F(AtomicDirectoryTest, MakesANewFolder) {
  auto fresh = AtomicDirectory::Create(Target());
  ASSERT_TRUE(fresh.ok()) << fresh.error().message;
  Write(fresh->path() / "a.bin", "1");
  EXPECT_FALSE(fs::exists(Target()));
  ASSERT_TRUE(fresh->Commit(KeepAll).ok());
  EXPECT_EQ(Tree(dir_.path()), (Files{{"model", "(folder)"}, {"model/a.bin", "1"}}));
  EXPECT_EQ(fs::status(Target()).permissions(), fs::perms(0755));
}

TEST_F(AtomicDirectoryTest, ReplacesAFolderAndKeepsWhatIsNotStale) {
  Write(Target() / "a.bin", "old");
  Write(Target() / "stale.bin", "old");
  Write(Target() / "history.jsonl", "kept");
  Write(Target() / "runs/log", "kept too");
  fs::permissions(Target(), fs::perms(0750));
  {
    auto fresh = AtomicDirectory::Create(Target());
    ASSERT_TRUE(fresh.ok()) << fresh.error().message;
    Write(fresh->path() / "a.bin", "new");
    const Status status = fresh->Commit(DropWeights);
    ASSERT_TRUE(status.ok()) << status.error().message;
  }
  EXPECT_EQ(Tree(dir_.path()), (Files{{"model", "(folder)"},
                                      {"model/a.bin", "new"},
                                      {"model/history.jsonl", "kept"},
                                      {"model/runs", "(folder)"},
                                      {"model/runs/log", "kept too"}}));
  EXPECT_EQ(fs::status(Target()).permissions(), fs::perms(0750));
}

TEST_F(AtomicDirectoryTest, WithoutCommitNothingChanges) {
  Write(Target() / "a.bin", "old");
  {
    auto fresh = AtomicDirectory::Create(Target());
    Write(fresh->path() / "a.bin", "half");
    EXPECT_EQ(Tree(Target()), (Files{{"a.bin", "old"}}));
  }
  EXPECT_EQ(Tree(dir_.path()), (Files{{"model", "(folder)"}, {"model/a.bin", "old"}}));
}

TEST_F(AtomicDirectoryTest, WritesThroughALinkAndATrailingSlash) {
  Write(Target() / "a.bin", "old");
  fs::create_directory_symlink(Target(), dir_.path() / "link");
  auto fresh = AtomicDirectory::Create(dir_.path() / "link" / "");
  ASSERT_TRUE(fresh.ok()) << fresh.error().message;
  Write(fresh->path() / "a.bin", "new");
  ASSERT_TRUE(fresh->Commit(KeepAll).ok());
  EXPECT_TRUE(fs::is_symlink(dir_.path() / "link"));
  EXPECT_EQ(*ReadFile(Target() / "a.bin", 10), "new");
}

TEST_F(AtomicDirectoryTest, ReplacesTheWorkingFoldersFilesOneByOne) {
  Write(Target() / "a.bin", "old");
  Write(Target() / "stale.bin", "old");
  Write(Target() / "notes", "kept");
  const fs::path before = fs::current_path();
  fs::current_path(Target());
  {
    auto fresh = AtomicDirectory::Create(".");
    ASSERT_TRUE(fresh.ok()) << fresh.error().message;
    Write(fresh->path() / "a.bin", "new");
    EXPECT_TRUE(fresh->Commit(DropWeights).ok());
  }
  // The folder itself is the same one: whoever stands in it sees the new files.
  EXPECT_EQ(*ReadFile("a.bin", 10), "new");
  fs::current_path(before);
  EXPECT_EQ(Tree(Target()), (Files{{"a.bin", "new"}, {"notes", "kept"}}));
}

TEST_F(AtomicDirectoryTest, RefusesAFileAndAnAbsentParent) {
  Write(dir_.path() / "file", "x");
  EXPECT_ERROR(AtomicDirectory::Create(dir_.path() / "file"), ErrorCode::kInvalidArgument,
               "file: is not a folder");
  EXPECT_ERROR(AtomicDirectory::Create(dir_.path() / "absent/model"), ErrorCode::kNotFound,
               "absent: cannot create a folder in");
}

TEST_F(AtomicDirectoryTest, TwoWritersDoNotRemoveEachOther) {
  auto first = AtomicDirectory::Create(Target());
  auto second = AtomicDirectory::Create(Target());
  Write(first->path() / "a.bin", "first");
  Write(second->path() / "a.bin", "second");
  ASSERT_TRUE(first->Commit(KeepAll).ok());
  ASSERT_TRUE(second->Commit(KeepAll).ok());
  EXPECT_EQ(Tree(dir_.path()), (Files{{"model", "(folder)"}, {"model/a.bin", "second"}}));
}

TEST_F(AtomicDirectoryTest, RemovesWhatADeadWriterLeft) {
  const fs::path old = dir_.path() / ".model.old-abcdef";
  Write(dir_.path() / ".model.new-abcdef" / "a.bin", "half");
  Write(old / "a.bin", "whole");
  ASSERT_TRUE(AtomicDirectory::Create(Target()).ok());
  EXPECT_EQ(Tree(dir_.path()), (Files{{"model", "(folder)"}, {"model/a.bin", "whole"}}))
      << "without the target, the old folder is all there is of it";
  Write(old / "a.bin", "older");
  ASSERT_TRUE(AtomicDirectory::Create(Target()).ok());
  EXPECT_EQ(Tree(dir_.path()), (Files{{"model", "(folder)"}, {"model/a.bin", "whole"}}));
}

// Killed between the exchange and the move of the subfolders.
TEST_F(AtomicDirectoryTest, RescuesSubfoldersFromWhatADeadWriterLeft) {
  const fs::path left = dir_.path() / ".model.new-abcdef";
  Write(Target() / "a.bin", "new");
  Write(Target() / "mine" / "b.txt", "newer");
  Write(left / "a.bin", "old");
  Write(left / "checkpoints" / "step-1" / "c.bin", "state");
  Write(left / "mine" / "b.txt", "older");
  AtomicDirectory::Recover(Target());
  EXPECT_EQ(*ReadFile(Target() / "checkpoints" / "step-1" / "c.bin", 100), "state");
  EXPECT_EQ(*ReadFile(Target() / "a.bin", 100), "new");
  EXPECT_EQ(*ReadFile(Target() / "mine" / "b.txt", 100), "newer");
  EXPECT_EQ(*ReadFile(left / "mine" / "b.txt", 100), "older") << "which is right, nobody knows";
  fs::remove_all(Target() / "mine");
  AtomicDirectory::Recover(Target());
  EXPECT_EQ(*ReadFile(Target() / "mine" / "b.txt", 100), "older");
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(AtomicDirectoryTest, RemovesAbandonedFilesAlone) {
  for (const char* name :
       {".run.json.new-aB3xYz", ".hidden", "run.json.new-aB3xYz", ".new-aB3xYz", "a.bin"}) {
    Write(dir_.path() / name, "x");
  }
  RemoveAbandonedFiles(dir_.path());
  EXPECT_EQ(
      Tree(dir_.path()),
      (Files{
          {".hidden", "x"}, {"run.json.new-aB3xYz", "x"}, {".new-aB3xYz", "x"}, {"a.bin", "x"}}));
}

// A writer is killed at a random moment, again and again. Its folder always holds two files of the
// same generation, and what it left is removed by the next writer.
TEST_F(AtomicDirectoryTest, SurvivesAKilledWriter) {
  const auto write_forever = [&] {
    for (int generation = 0;; ++generation) {
      auto fresh = AtomicDirectory::Create(Target());
      if (!fresh.ok()) _exit(2);
      const std::string content(20'000, static_cast<char>('a' + generation % 26));
      if (!WriteFileAtomically(fresh->path() / "a.bin", content).ok()) _exit(3);
      if (!WriteFileAtomically(fresh->path() / "b.bin", content).ok()) _exit(4);
      if (!fresh->Commit(DropWeights).ok()) _exit(5);
    }
  };
  for (int round = 0; round < 40; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_forever();
    std::this_thread::sleep_for(std::chrono::microseconds(2'000 + round * 731));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer failed with " << WEXITSTATUS(status);
    if (!fs::exists(Target())) continue;  // killed before its first commit
    const auto a = ReadFile(Target() / "a.bin", 100'000);
    const auto b = ReadFile(Target() / "b.bin", 100'000);
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_EQ(a->size(), 20'000u);
    EXPECT_EQ(*a, *b);
  }
  {
    auto last = AtomicDirectory::Create(Target());
    ASSERT_TRUE(last.ok());
  }
  EXPECT_LE(std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace bertie
