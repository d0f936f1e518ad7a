// What this process's control groups allow it (Linux's cgroups, version 2 and 1: what containers,
// Kubernetes and systemd set limits with).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace bertie {

struct CgroupLimits {
  std::optional<double> processors;     // of processor time a second: 1.5
  std::optional<int64_t> memory_bytes;  // beyond it the process is killed
};

// The tightest limit of the groups that the process is in, from its own up to the root. What cannot
// be read is no limit. root: where /proc and /sys lie.
CgroupLimits ReadCgroupLimits(const std::filesystem::path& root = "/");

}  // namespace bertie
