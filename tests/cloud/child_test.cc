// Children that outlive who started them, their logs, and the versions of the state's tables.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <vector>

#include "base/directory.h"
#include "base/file.h"
#include "cloud/processes/child_process.h"
#include "cloud/processes/stamped_log.h"
#include "cloud/schema.h"
#include "eventually.h"

namespace bertie::cloud {
namespace {

// Or is about to be: a zombie that nobody has waited for yet.
bool IsDead(pid_t pid) {
  const auto text = ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
  return !text.ok() || text->find(") Z ") != std::string::npos;
}

class ChildTest : public testing::Test {
 protected:
  ChildOptions Shell(const std::string& script) {
    return {.arguments = {"sh", "-c", script},
            .environment = ThisEnvironment({{"WORD", "said"}}),
            .working_folder = folder.path(),
            .folder = folder.path() / "child"};
  }
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    Milliseconds last = 0;
    EXPECT_TRUE(ReadLog(folder.path() / "child" / "log", 0, [&](const LogLine& line) {
                  EXPECT_GE(line.time, last);
                  EXPECT_GT(line.time, 1'600'000'000'000);
                  last = line.time;
                  lines.emplace_back(line.text);
                  return true;
                }).ok());
    return lines;
  }

  TemporaryDirectory folder = *TemporaryDirectory::Create();
};

TEST_F(ChildTest, RunsWithEnvironmentFolderAndStampedLog) {
  auto child = ChildProcess::Start(
      Shell("echo $WORD; pwd >&2; printf '\\n10%%\\r20%%\\r90%%\\nhalf'; exit 3"));
  ASSERT_TRUE(child.ok()) << child.error().message;
  const auto end = child->WaitFor(5000);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->Text(), "exit code 3");
  EXPECT_EQ(Lines(), (std::vector<std::string>{"said", folder.path().string(), "", "90%", "half"}));
  EXPECT_FALSE(child->id().Lives());
}

TEST_F(ChildTest, SignalReachesTheGroupAndIsTold) {
  auto child = ChildProcess::Start(Shell("sleep 100 & echo $!; wait"));
  ASSERT_TRUE(child.ok()) << child.error().message;
  ASSERT_TRUE(Eventually([&] { return Lines().size() == 1; }));
  const pid_t grandchild = std::stoi(Lines()[0]);
  EXPECT_FALSE(child->Poll());
  child->Signal(SIGTERM);
  const auto end = child->WaitFor(5000);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, ChildExit::Kind::kSignal);
  EXPECT_EQ(end->ShellCode(), 128 + SIGTERM);
  EXPECT_TRUE(Eventually([&] { return IsDead(grandchild); }));
}

TEST_F(ChildTest, WhatAProgramLeavesBehindDiesWithIt) {
  auto child = ChildProcess::Start(Shell("sleep 100 & echo $!"));
  ASSERT_TRUE(child.ok()) << child.error().message;
  ASSERT_TRUE(child->WaitFor(5000));
  ASSERT_EQ(Lines().size(), 1U);
  EXPECT_TRUE(Eventually([&] { return IsDead(std::stoi(Lines()[0])); }));
}

// Another process starts it and is killed: its end is known nevertheless.
TEST_F(ChildTest, IsAdoptedAfterItsParentWasKilled) {
  const pid_t parent = ::fork();
  if (parent == 0) {
    static_cast<void>(ChildProcess::Start(Shell("sleep 0.3; echo done; exit 7")).ok());
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(parent, &status, 0), parent);
  auto child = ChildProcess::Adopt(folder.path() / "child");
  ASSERT_TRUE(child.ok()) << child.error().message;
  EXPECT_FALSE(child->Poll());
  const auto end = child->WaitFor(5000);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->Text(), "exit code 7");
  EXPECT_EQ(Lines(), std::vector<std::string>{"done"});
}

TEST_F(ChildTest, AnotherProcessOfTheSameNumberIsNotTakenForIt) {
  std::filesystem::create_directories(folder.path() / "child");
  const ProcessId self = *ProcessId::Of(::getpid());
  EXPECT_TRUE(self.Lives());
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "child" / "pid",
                                  std::to_string(self.pid) + " " + std::to_string(self.start - 1) +
                                      " " + self.boot + "\n")
                  .ok());
  auto child = ChildProcess::Adopt(folder.path() / "child");
  ASSERT_TRUE(child.ok());
  child->Signal(SIGKILL);  // would end this test
  ASSERT_TRUE(child->Poll());
  EXPECT_EQ(child->Poll()->kind, ChildExit::Kind::kUnknown);
}

TEST_F(ChildTest, AProgramThatIsNotThereIsAnError) {
  ChildOptions options = Shell("");
  options.arguments = {"no-such-program"};
  const auto child = ChildProcess::Start(options);
  ASSERT_FALSE(child.ok());
  EXPECT_EQ(child.error().code, ErrorCode::kNotFound);
  EXPECT_NE(child.error().message.find("no-such-program"), std::string::npos);
  EXPECT_EQ(ChildProcess::Adopt(options.folder).error().code, ErrorCode::kNotFound);
}

// Processes of this one, running or not waited for.
int Children() {
  int children = 0;
  const std::string parent = std::to_string(::getpid()) + " ";
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto text = ReadFile(entry.path() / "stat", 4096);
    const size_t name_end = text.ok() ? text->rfind(") ") : std::string::npos;
    if (name_end != std::string::npos && text->compare(name_end + 4, parent.size(), parent) == 0) {
      ++children;
    }
  }
  return children;
}

TEST_F(ChildTest, NoProcessIsLeftOfAStartThatFailed) {
  const int before = Children();
  const auto previous = ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit nothing{0, limit.rlim_max};  // a full disk: who it is cannot be written down
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &nothing), 0);
  const auto child = ChildProcess::Start(Shell("sleep 100"));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  ::signal(SIGXFSZ, previous);
  EXPECT_FALSE(child.ok());
  EXPECT_EQ(Children(), before);
  EXPECT_EQ(ChildProcess::Adopt(folder.path() / "child").error().code, ErrorCode::kNotFound);
}

// As in a container whose first process reads no other's end.
TEST_F(ChildTest, AnEndThatNobodyReadsIsAnEnd) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  auto child = ChildProcess::Start(Shell("echo $PPID; sleep 100"));
  ASSERT_TRUE(child.ok()) << child.error().message;
  ASSERT_TRUE(Eventually([&] { return Lines().size() == 1; }));
  const pid_t program = child->id().pid;
  ::kill(std::stoi(Lines()[0]), SIGKILL);  // the keeper
  ASSERT_TRUE(Eventually([&] {
    const auto text = ReadFile("/proc/" + std::to_string(program) + "/stat", 4096);
    return text->find(") S " + std::to_string(::getpid()) + " ") != std::string::npos;
  }));
  EXPECT_FALSE(child->Poll());
  child->Signal(SIGKILL);
  const auto end = child->WaitFor(5000);
  EXPECT_TRUE(IsDead(program));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, ChildExit::Kind::kUnknown);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  while (::waitpid(program, nullptr, 0) == program) {
  }
}

// The newest lines stay, at the places where they were; the file takes no more room than was said.
TEST_F(ChildTest, AChattyProgramsLogIsBounded) {
  constexpr uint64_t kMax = 64 * 1024;
  constexpr int kLines = 20'000;
  ChildOptions options = Shell("seq -f 'line %g of the program' 1 " + std::to_string(kLines));
  options.max_log = kMax;
  options.log = folder.path() / "elsewhere";
  uint64_t half = 0;
  for (int run = 0; run < 2; ++run) {
    auto child = ChildProcess::Start(options);
    ASSERT_TRUE(child.ok()) << child.error().message;
    ASSERT_TRUE(child->WaitFor(20'000));
    struct stat found {};
    ASSERT_EQ(::stat(options.log.c_str(), &found), 0);
    EXPECT_LE(found.st_blocks * 512, kMax + kMax / 2) << "run " << run;
    // Every line that is left is whole, and none is missing up to the last.
    std::vector<int> numbers;
    const auto end = ReadLog(options.log, 0, [&](const LogLine& line) {
      int number = 0;
      const std::string text(line.text);
      EXPECT_EQ(std::sscanf(text.c_str(), "line %d of the program", &number), 1) << text;
      if (!numbers.empty()) {
        EXPECT_EQ(number, numbers.back() + 1);
      }
      numbers.push_back(number);
      return true;
    });
    ASSERT_TRUE(end.ok());
    ASSERT_GT(numbers.size(), 1000U);
    EXPECT_EQ(numbers.back(), kLines);
    EXPECT_EQ(*end, found.st_size);
    // From a place whose line was dropped as from the beginning; from one that is there, there.
    int first = 0;
    const auto take_first = [&](const LogLine& line) {
      return std::sscanf(std::string(line.text).c_str(), "line %d", &first) != 1;
    };
    ASSERT_TRUE(ReadLog(options.log, half + 40, take_first).ok());
    EXPECT_EQ(first, numbers.front());
    half = *end / 2;
  }
  EXPECT_FALSE(std::filesystem::exists(options.folder / "log"));
}

TEST_F(ChildTest, LogIsReadFromWhereItWasLeft) {
  const auto path = folder.path() / "log";
  ASSERT_TRUE(AppendToLog(path, "one\ntwo").ok());
  uint64_t at = *ReadLog(path, 0, [](const LogLine&) { return false; });
  ASSERT_TRUE(AppendToLog(path, std::string(kMaxLogLine + 1, 'x')).ok());
  std::vector<size_t> sizes;
  at = *ReadLog(path, at, [&](const LogLine& line) {
    sizes.push_back(line.text.size());
    return true;
  });
  EXPECT_EQ(sizes, (std::vector<size_t>{3, kMaxLogLine, 1}));
  EXPECT_EQ(at, std::filesystem::file_size(path));
}

TEST_F(ChildTest, TablesAreTakenToTheLastStepOnce) {
  auto database = *Database::Open(folder.path() / "state.db", Database::Mode::kWrite);
  SchemaPart part{.name = "things", .steps = {"CREATE TABLE things(name BLOB) STRICT;"}};
  ASSERT_TRUE(Migrate(*database, part).ok());
  ASSERT_TRUE(Migrate(*database, part).ok());
  part.steps.push_back("ALTER TABLE things ADD COLUMN size INTEGER;");
  ASSERT_TRUE(Migrate(*database, part).ok());
  ASSERT_TRUE(database->Run("INSERT INTO things(name, size) VALUES(x'61', 1)").ok());
  part.steps.resize(1);
  const Status older = Migrate(*database, part);
  ASSERT_FALSE(older.ok());
  EXPECT_EQ(older.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace bertie::cloud
