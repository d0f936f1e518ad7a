#include "base/resident_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace bertie {
namespace {

// The number after a word at the start of a line.
std::optional<int64_t> ReadField(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first;
    int64_t value = 0;
    if (words >> first >> value && first == name) return value;
  }
  return std::nullopt;
}

}  // namespace

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

std::optional<int64_t> AvailableBytes() {
  const std::optional<int64_t> machine = ReadField("/proc/meminfo", "MemAvailable:");
  std::optional<int64_t> available;
  if (machine) available = *machine * 1024;
  const std::string group = "/sys/fs/cgroup/";
  int64_t limit = 0;
  int64_t current = 0;
  if (std::ifstream(group + "memory.max") >> limit &&
      std::ifstream(group + "memory.current") >> current) {
    const int64_t cache = ReadField(group + "memory.stat", "inactive_file").value_or(0);
    const int64_t free = limit - (current - cache);
    available = available ? std::min(*available, free) : free;
  }
  return available;
}

}  // namespace bertie
