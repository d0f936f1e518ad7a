#include "cli/doctor/facts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/fd.h"
#include "base/file.h"
#include "base/thread_pool.h"
#include "cli/model_argument.h"
#include "hub/settings.h"
#include "kernels/matmul.h"
#include "kernels/mixed_matmul.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "always [madvise] never" as "madvise".
std::string Bracketed(const std::string& text) {
  const size_t open = text.find('['), close = text.find(']');
  return open == std::string::npos || close == std::string::npos
             ? ""
             : text.substr(open + 1, close - open - 1);
}

void ReadMemory(Facts& facts) {
  std::ifstream file("/proc/meminfo");
  int64_t swap_free = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    int64_t value = 0;
    words >> name >> value;
    if (name == "MemTotal:") facts.memory = value * 1024;
    if (name == "MemAvailable:") facts.memory_available = value * 1024;
    if (name == "SwapTotal:") facts.swap = value * 1024;
    if (name == "SwapFree:") swap_free = value * 1024;
    if (name == "HugePages_Total:") facts.reserved_huge_pages = value;
  }
  facts.swap_used = facts.swap - swap_free;
  facts.huge_pages = Bracketed(FirstLine("/sys/kernel/mm/transparent_hugepage/enabled"));
  for (const int level : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL4_CACHE_SIZE}) {
    facts.last_cache = std::max<int64_t>(facts.last_cache, sysconf(level));
  }
}

void ReadProcessors(Facts& facts) {
  facts.machine = DescribeMachine();
  facts.fp32 = kernels::Instructions(kernels::WeightType::kF32);
  facts.bf16 = kernels::Instructions(kernels::WeightType::kBF16);
  facts.int8 = kernels::Instructions(kernels::WeightType::kI8);
  facts.trains_in_bf16 = kernels::UseBF16();
  for (const char* name : {"BERTIE_INT8", "BERTIE_BF16"}) {
    const char* value = std::getenv(name);
    const std::string set = value == nullptr ? "" : value;
    // Emulation is an addition.
    if (!set.empty() && set != "emulate") facts.held_back.push_back(name + ("=" + set));
  }
  facts.processors = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t set;
  CPU_ZERO(&set);
  facts.allowed = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : facts.processors;
  facts.threads = ThreadPool::DefaultThreads();
  facts.cgroup = ReadCgroupLimits();
  facts.governor = FirstLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
}

bool IsFree(int port) {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;  // as the servers do: a port that was left a moment ago is free
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

// The folder itself, or the nearest above it that is there.
fs::path Existing(fs::path folder) {
  std::error_code ignored;
  while (!fs::exists(folder, ignored) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

void ReadDisk(Facts& facts) {
  const auto hub = hub::FromEnvironment();
  facts.cache = hub.ok() ? hub->cache : hub::OwnModels();
  facts.disk_folder = Existing(facts.cache);
  std::error_code error;
  const fs::space_info space = fs::space(facts.disk_folder, error);
  if (!error) facts.disk_free = static_cast<int64_t>(space.available);
  facts.cache_writable = access(facts.disk_folder.c_str(), W_OK | X_OK) == 0;
}

}  // namespace

int64_t Facts::usable_memory() const {
  return std::min(memory_available, cgroup.memory_bytes.value_or(memory_available));
}

Facts CollectFacts() {
  Facts facts;
  ReadProcessors(facts);
  ReadMemory(facts);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    facts.open_files = files.rlim_cur;
    facts.most_open_files = files.rlim_max;
  }
  constexpr std::pair<int, const char*> kPorts[] = {
      {8080, "bertie serve"}, {4566, "bertie cloud"}, {50051, "bertie accelerator"}};
  for (const auto& [port, command] : kPorts) {
    facts.ports.push_back({port, command, IsFree(port)});
  }
  ReadDisk(facts);
  return facts;
}

}  // namespace bertie::cli
