#include "base/cgroup.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace bertie {
namespace {

namespace fs = std::filesystem;

// The process's group, as /proc/self/cgroup tells it for a controller of version 1 ("cpu"), or for
// version 2 (""). Lines are NUMBER:CONTROLLER,...:/PATH.
std::optional<std::string> GroupOf(const fs::path& root, std::string_view controller) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string wanted = controller.empty() ? ",," : "," + std::string(controller) + ",";
    if (names.find(wanted) != std::string::npos) return line.substr(second + 1);
  }
  return std::nullopt;
}

// Calls look(folder) for the group's folder and those above it, down to the mount itself. Within a
// container the path may name a folder that only the host has; the mount is then the group.
template <class Look>
void ForEachFolder(const fs::path& mount, const std::string& group, const Look& look) {
  for (fs::path below = fs::path(group).relative_path();; below = below.parent_path()) {
    look(mount / below);
    if (below.empty()) return;
  }
}

void Tighten(std::optional<double>& limit, double value) {
  limit = limit ? std::min(*limit, value) : value;
}

void Tighten(std::optional<int64_t>& limit, int64_t value) {
  // Version 1 says "no limit" by a number near 2^63.
  if (value <= 0 || value >= int64_t{1} << 60) return;
  limit = limit ? std::min(*limit, value) : value;
}

std::optional<int64_t> ReadNumber(const fs::path& path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

// Version 2: cpu.max is "QUOTA PERIOD" in microseconds, or "max PERIOD"; memory.max a number or
// "max".
void ReadUnified(const fs::path& folder, CgroupLimits& limits) {
  std::ifstream file(folder / "cpu.max");
  double quota = 0, period = 0;
  if (file >> quota >> period && quota > 0 && period > 0) {
    Tighten(limits.processors, quota / period);
  }
  if (const auto memory = ReadNumber(folder / "memory.max")) Tighten(limits.memory_bytes, *memory);
}

}  // namespace

CgroupLimits ReadCgroupLimits(const fs::path& root) {
  CgroupLimits limits;
  const fs::path mounts = root / "sys/fs/cgroup";
  if (const auto group = GroupOf(root, "")) {
    ForEachFolder(mounts, *group, [&](const fs::path& folder) { ReadUnified(folder, limits); });
  }
  if (const auto group = GroupOf(root, "cpu")) {
    ForEachFolder(mounts / "cpu", *group, [&](const fs::path& folder) {
      const auto quota = ReadNumber(folder / "cpu.cfs_quota_us");
      const auto period = ReadNumber(folder / "cpu.cfs_period_us");
      if (!quota || !period || *quota <= 0 || *period <= 0) return;
      Tighten(limits.processors, static_cast<double>(*quota) / static_cast<double>(*period));
    });
  }
  if (const auto group = GroupOf(root, "memory")) {
    ForEachFolder(mounts / "memory", *group, [&](const fs::path& folder) {
      if (const auto memory = ReadNumber(folder / "memory.limit_in_bytes")) {
        Tighten(limits.memory_bytes, *memory);
      }
    });
  }
  return limits;
}

}  // namespace bertie
