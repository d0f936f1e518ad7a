// What the system says of the machine and of what it leaves this process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/cgroup.h"
#include "cli/machine.h"

namespace bertie::cli {

// A port that a command listens on unless it is told otherwise.
struct PortFact {
  int port = 0;
  std::string command;  // "bertie serve"
  bool free = false;
};

struct Facts {
  Machine machine;
  // The instructions of each precision's kernels: "avx2", "avx512_vnni", ...
  std::string fp32, bf16, int8;
  bool trains_in_bf16 = false;
  std::vector<std::string> held_back;  // "BERTIE_INT8=quads": variables that forbid instructions

  int processors = 0;  // of the machine
  int allowed = 0;     // of this process's affinity mask (cpuset)
  int threads = 0;     // that commands start unless they are told otherwise
  CgroupLimits cgroup;

  int64_t memory = 0, memory_available = 0, swap = 0, swap_used = 0;  // bytes
  int64_t last_cache = 0;                                             // bytes of the largest cache
  std::string huge_pages;  // "always", "madvise", "never"; "" where the system does not tell
  int64_t reserved_huge_pages = 0;
  std::string governor;  // "performance", "powersave", ...; "" where the system does not tell

  uint64_t open_files = 0, most_open_files = 0;  // the soft and the hard limit
  std::vector<PortFact> ports;

  std::filesystem::path cache;        // of models; it may not be there yet
  std::filesystem::path disk_folder;  // it, or the nearest above it that is there
  int64_t disk_free = 0;
  bool cache_writable = false;

  // What memory there is to use: available, and within the control group's limit.
  int64_t usable_memory() const;
};

Facts CollectFacts();

}  // namespace bertie::cli
