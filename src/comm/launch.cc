#include "comm/launch.h"

#include <algorithm>
#include <charconv>

#include "comm/frames.h"

namespace bertie::comm {
namespace {

constexpr uint16_t kDefaultPort = 29500;   // torchrun's
constexpr uint16_t kSageMakerPort = 7777;  // its PyTorch containers'

Result<int> ToNumber(const std::string& name, const std::string& text, int least, int most) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return Error{ErrorCode::kInvalidArgument, name + " is '" + SafeText(text) + "', expected " +
                                                  std::to_string(least) + " to " +
                                                  std::to_string(most)};
  }
  return value;
}

// The environment with typed access.
class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  std::optional<std::string> Text(const char* name) const {
    const char* value = environment_(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
  }
  bool Has(const char* name) const { return Text(name).has_value(); }
  // The variable must be set.
  Result<int> Number(const char* name, int least, int most) const {
    return ToNumber(name, *Text(name), least, most);
  }

 private:
  const Environment& environment_;
};

Status ReadRank(const Reader& env, const char* rank, const char* size, Launch& launch) {
  BERTIE_ASSIGN_OR_RETURN(launch.size, env.Number(size, 1, kMaxRanks));
  BERTIE_ASSIGN_OR_RETURN(launch.rank, ToNumber(rank, *env.Text(rank), 0, launch.size - 1));
  return {};
}

void ReadLocalSize(const Reader& env, const char* name, Launch& launch) {
  if (!env.Has(name)) return;
  auto size = env.Number(name, 1, launch.size);
  if (size.ok()) launch.local_size = *size;
}

Status ReadMaster(const Reader& env, Launch& launch) {
  if (auto host = env.Text("MASTER_ADDR")) launch.host = *host;
  if (env.Has("MASTER_PORT")) {
    BERTIE_ASSIGN_OR_RETURN(const int port, env.Number("MASTER_PORT", 1, 65535));
    launch.port = static_cast<uint16_t>(port);
  }
  // torchrun listens at MASTER_PORT itself, for a store of its own: the ranks meet one port above.
  if (env.Text("TORCHELASTIC_USE_AGENT_STORE") == "True") {
    launch.port = static_cast<uint16_t>(launch.port < 65535 ? launch.port + 1 : launch.port - 1);
  }
  return {};
}

Status FromTorchrun(const Reader& env, Launch& launch) {
  launch.starter = "RANK and WORLD_SIZE";
  BERTIE_RETURN_IF_ERROR(ReadRank(env, "RANK", "WORLD_SIZE", launch));
  ReadLocalSize(env, "LOCAL_WORLD_SIZE", launch);
  launch.job = env.Text("TORCHELASTIC_RUN_ID").value_or("");
  return {};
}

Status FromMpi(const Reader& env, Launch& launch) {
  launch.starter = "mpirun";
  if (env.Has("OMPI_COMM_WORLD_RANK")) {
    BERTIE_RETURN_IF_ERROR(ReadRank(env, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", launch));
    ReadLocalSize(env, "OMPI_COMM_WORLD_LOCAL_SIZE", launch);
  } else {
    BERTIE_RETURN_IF_ERROR(ReadRank(env, "PMI_RANK", "PMI_SIZE", launch));
    ReadLocalSize(env, "MPI_LOCALNRANKS", launch);
  }
  if (launch.local_size == launch.size) launch.host = "127.0.0.1";
  return {};
}

Status FromSlurm(const Reader& env, Launch& launch) {
  launch.starter = "Slurm";
  BERTIE_RETURN_IF_ERROR(ReadRank(env, "SLURM_PROCID", "SLURM_NTASKS", launch));
  launch.job = "slurm";
  // Jobs that share a node must not meet at one port.
  if (env.Has("SLURM_JOB_ID")) {
    BERTIE_ASSIGN_OR_RETURN(const int job, env.Number("SLURM_JOB_ID", 0, 1 << 30));
    launch.job += " " + std::to_string(job) + "." + *env.Text("SLURM_STEP_ID");
    launch.port = static_cast<uint16_t>(20000 + job % 10000);
  }
  for (const char* name : {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"}) {
    if (!env.Has(name)) continue;
    BERTIE_ASSIGN_OR_RETURN(launch.host, FirstSlurmHost(*env.Text(name)));
    break;
  }
  // "2(x3),1" on several nodes, "4" on one.
  if (auto tasks = env.Text("SLURM_STEP_TASKS_PER_NODE")) {
    int local = 0;
    std::from_chars(tasks->data(), tasks->data() + tasks->size(), local);
    launch.local_size = std::clamp(local, 1, launch.size);
  }
  // Nobody on another machine has a reason to ask for rank 0 then.
  if (launch.local_size == launch.size) launch.host = "127.0.0.1";
  return {};
}

Status FromSageMaker(const Reader& env, Launch& launch) {
  launch.starter = "SM_HOSTS and SM_CURRENT_HOST";
  BERTIE_ASSIGN_OR_RETURN(const auto hosts, ParseHostList(*env.Text("SM_HOSTS")));
  const std::string current = *env.Text("SM_CURRENT_HOST");
  const auto found = std::find(hosts.begin(), hosts.end(), current);
  if (found == hosts.end()) {
    return Error{ErrorCode::kInvalidArgument,
                 "SM_CURRENT_HOST is '" + SafeText(current) +
                     "', which is not in SM_HOSTS: " + SafeText(*env.Text("SM_HOSTS"))};
  }
  launch.size = static_cast<int>(hosts.size());
  launch.rank = static_cast<int>(found - hosts.begin());
  launch.host = hosts.front();
  launch.port = kSageMakerPort;
  launch.job = env.Text("TRAINING_JOB_NAME").value_or("");
  return {};
}

Status FromFlags(const LaunchFlags& flags, Launch& launch) {
  if (flags.rank.has_value() != flags.world_size.has_value()) {
    return Error{ErrorCode::kInvalidArgument, "--rank and --world-size go together"};
  }
  if (flags.rank) {
    launch.starter = "--rank and --world-size";
    launch.rank = *flags.rank;
    launch.size = *flags.world_size;
  }
  if (flags.master.empty()) return {};
  launch.host = flags.master;
  const size_t colon = flags.master.rfind(':');
  // An IPv6 address has colons of its own: [::1]:29500, or ::1 without a port.
  if (colon == std::string::npos ||
      (flags.master.find(':') != colon && flags.master[colon - 1] != ']')) {
    return {};
  }
  BERTIE_ASSIGN_OR_RETURN(const int port,
                          ToNumber("--master's port", flags.master.substr(colon + 1), 1, 65535));
  launch.port = static_cast<uint16_t>(port);
  launch.host = flags.master.substr(0, colon);
  if (launch.host.starts_with('[')) launch.host = launch.host.substr(1, launch.host.size() - 2);
  return {};
}

Status ReadStarter(const Reader& env, Launch& launch) {
  if (env.Has("RANK") && env.Has("WORLD_SIZE")) return FromTorchrun(env, launch);
  if (env.Has("OMPI_COMM_WORLD_RANK") && env.Has("OMPI_COMM_WORLD_SIZE")) {
    return FromMpi(env, launch);
  }
  if (env.Has("PMI_RANK") && env.Has("PMI_SIZE") && !env.Has("SLURM_STEP_ID")) {
    return FromMpi(env, launch);
  }
  // A batch script sees SLURM_PROCID=0 and the whole SLURM_NTASKS too, but is no step of srun's.
  if (env.Has("SLURM_PROCID") && env.Has("SLURM_NTASKS") && env.Has("SLURM_STEP_ID")) {
    return FromSlurm(env, launch);
  }
  if (env.Has("SM_HOSTS") && env.Has("SM_CURRENT_HOST")) return FromSageMaker(env, launch);
  return {};
}

}  // namespace

Result<Launch> ReadLaunch(const LaunchFlags& flags, const Environment& environment) {
  const Reader env(environment);
  Launch launch;
  launch.port = kDefaultPort;
  if (!flags.rank) BERTIE_RETURN_IF_ERROR(ReadStarter(env, launch));
  BERTIE_RETURN_IF_ERROR(ReadMaster(env, launch));
  BERTIE_RETURN_IF_ERROR(FromFlags(flags, launch));
  if (auto job = env.Text("BERTIE_JOB")) launch.job = *job;
  if (launch.rank < 0 || launch.size < 1 || launch.rank >= launch.size) {
    return Error{ErrorCode::kInvalidArgument,
                 launch.starter + ": rank " + std::to_string(launch.rank) + " of " +
                     std::to_string(launch.size) + "; ranks count from 0"};
  }
  if (launch.size == 1) return Launch();
  if (launch.host.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 launch.starter + " say that this is rank " + std::to_string(launch.rank) + " of " +
                     std::to_string(launch.size) +
                     ", but not where rank 0 is: set MASTER_ADDR and MASTER_PORT, or --master "
                     "HOST:PORT"};
  }
  return launch;
}

Result<std::string> FirstSlurmHost(const std::string& list) {
  const size_t open = list.find_first_of("[,");
  if (open == std::string::npos || list[open] == ',') return list.substr(0, open);
  const size_t close = list.find(']', open);
  const size_t end = list.find_first_of(",-]", open + 1);
  if (close == std::string::npos || end == open + 1) {
    return Error{ErrorCode::kInvalidArgument, "Slurm's node list '" + SafeText(list) +
                                                  "' is none: expected names such as node[1-4]"};
  }
  const size_t tail = list.find_first_of(",[", close + 1);
  return list.substr(0, open) + list.substr(open + 1, end - open - 1) +
         list.substr(close + 1, tail == std::string::npos ? tail : tail - close - 1);
}

Result<std::vector<std::string>> ParseHostList(const std::string& json) {
  std::string text;
  for (char c : json) {
    if (c != ' ' && c != '\n' && c != '\t' && c != '\r') text += c;
  }
  const Error malformed{
      ErrorCode::kInvalidArgument,
      "SM_HOSTS is '" + SafeText(json) + "', expected a list such as [\"algo-1\",\"algo-2\"]"};
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return malformed;
  std::vector<std::string> hosts;
  size_t at = 1;
  while (at + 1 < text.size()) {
    const size_t close = text.find('"', at + 1);
    if (text[at] != '"' || close == std::string::npos || close == at + 1) return malformed;
    hosts.push_back(text.substr(at + 1, close - at - 1));
    if (hosts.back().find('\\') != std::string::npos) return malformed;
    at = close + 1;
    if (text[at] != ',') break;
    ++at;
  }
  if (hosts.empty() || at + 1 != text.size() || text[at - 1] != '"') return malformed;
  if (hosts.size() > static_cast<size_t>(kMaxRanks)) return malformed;
  return hosts;
}

}  // namespace bertie::comm
