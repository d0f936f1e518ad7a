// Programs that the cloud starts and that outlive it: training jobs' ranks, endpoints' servers.
//
// Between the cloud and each program stands a keeper, a copy of the cloud's process that holds
// nothing of it. It gives each line of the program's output the time at which it came, waits for
// the program's end and writes down how it ended, so that both are known to a cloud that was
// started meanwhile, as the killed one's pipes and waitpid are not.
//
// All that is known about a child is in files of a folder that it has for itself:
//   pid   who it is, written before the program runs: no child is ever lost by a kill at any point
//   exit  how it ended
//   log   its output, in cloud/processes/stamped_log.h's form; appended to; or elsewhere
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace bertie::cloud {

struct ChildOptions {
  // argv[0] is found in PATH where it has no slash, by the environment below. Not empty.
  std::vector<std::string> arguments = {};
  std::vector<std::string> environment = {};  // NAME=value, all of it: ThisEnvironment() and more
  std::filesystem::path working_folder = {};  // empty: this process's
  std::filesystem::path folder;               // of the files above; made when it is not there
  std::filesystem::path log = {};             // empty: in the folder
  // Of the log about so many bytes are kept, the newest (stamped_log.h: where the others were);
  // 0: all.
  uint64_t max_log = 0;
};

// This program: what `bertie` children run.
inline constexpr char kThisProgram[] = "/proc/self/exe";

// This process's environment with names set anew; a value of nullopt takes the name away.
std::vector<std::string> ThisEnvironment(
    const std::vector<std::pair<std::string, std::optional<std::string>>>& changes = {});

// A process, and not another one that got its number later: when it was started since the boot, in
// the kernel's ticks (proc(5), field 22 of /proc/PID/stat), and which boot.
struct ProcessId {
  pid_t pid = 0;
  uint64_t start = 0;
  std::string boot = {};

  // kNotFound when there is none.
  static Result<ProcessId> Of(pid_t pid);
  // A zombie counts as living while its keeper has not written down its end yet. One whose keeper
  // was killed does not: its next parent may never read its end, as the first process of a
  // container.
  bool Lives() const;
};

struct ChildExit {
  enum class Kind {
    kExited,   // code: what it returned; 127 where it could not be started at all
    kSignal,   // code: the signal that ended it
    kUnknown,  // the keeper was killed too, or the machine went down
  };
  Kind kind = Kind::kUnknown;
  int code = 0;

  bool Good() const { return kind == Kind::kExited && code == 0; }
  // What a shell would say: the code, 128 and the signal, or 255.
  int ShellCode() const;
  std::string Text() const;  // "exit code 1", "signal 9 (Killed)", "an unknown end"
};

// One thread at a time. The destructor lets the program run on.
class ChildProcess {
 public:
  // Starts the program, the leader of a process group of its own, with no input. Files of an
  // earlier child in the folder are replaced, but for the log, which goes on. kIo, or kNotFound
  // where there is no such program; then no pid file is left.
  static Result<ChildProcess> Start(const ChildOptions& options);
  // The child that was last started in this folder, by this process or by one before it, running or
  // ended. kNotFound where none was; kInvalidData for a pid file that is none.
  static Result<ChildProcess> Adopt(const std::filesystem::path& folder);
  // Kills that child, if there is one and it runs, and waits for its end, but no longer than this.
  static void KillLast(const std::filesystem::path& folder, int milliseconds);

  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  const ProcessId& id() const { return id_; }

  // nullopt while it runs. Does not block; the same answer for ever once it has ended. Whatever the
  // program started in its process group has been killed by then.
  std::optional<ChildExit> Poll();
  // As Poll, waiting for at most so long.
  std::optional<ChildExit> WaitFor(int milliseconds);
  // To its whole process group, if it runs.
  void Signal(int signal);

 private:
  ChildProcess(std::filesystem::path folder, ProcessId id, pid_t keeper)
      : folder_(std::move(folder)), id_(std::move(id)), keeper_(keeper) {}
  void ReapKeeper();

  std::filesystem::path folder_;
  ProcessId id_;
  pid_t keeper_ = 0;  // 0: not this process's child
  std::optional<ChildExit> exit_;
};

}  // namespace bertie::cloud
