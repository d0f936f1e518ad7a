// The process between the cloud and a child (cloud/processes/child_process.h). Internal to
// ChildProcess.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace bertie::cloud {

// The keeper's process's.
inline constexpr char kKeeperName[] = "bertie-keeper";

// What the keeper works with: made before the fork, since nothing may be allocated after it.
struct KeeperPlan {
  char* const* arguments;
  char* const* environment;
  const char* program;         // a path
  const char* working_folder;  // null: stay
  const char* exit_file;
  const char* exit_draft;  // a name beside it, renamed to it
  int log = -1;            // open for appending
  uint64_t max_log = 0;    // bytes of it that are kept; 0: all
  int report = -1;         // a KeeperReport goes in, then an int: errno where exec failed
  int go = -1;             // a byte comes out when the program may run; its end: it may not
};

struct KeeperReport {
  pid_t program = 0;  // 0: could not fork
  int error = 0;
};

// In the child of a fork. Calls only what is safe there (signal-safety(7)).
[[noreturn]] void RunKeeper(const KeeperPlan& plan);

}  // namespace bertie::cloud
