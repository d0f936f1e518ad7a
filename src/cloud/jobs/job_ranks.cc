#include "cloud/jobs/job_ranks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "base/encoding.h"
#include "base/fd.h"
#include "base/hmac.h"
#include "cloud/folders.h"

namespace bertie::cloud {
namespace {

constexpr int kKillLimitMilliseconds = 10'000;

// One that is free now; whoever takes it before rank 0 listens there makes the job fail.
Result<uint16_t> FreePort() {
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const int fd = listener.get();
  if (fd >= 0 && ::bind(fd, generic, size) == 0 && ::getsockname(fd, generic, &size) == 0) {
    return ntohs(address.sin_port);
  }
  return Error{ErrorCode::kIo,
               "cannot find a free port: " + std::generic_category().message(errno)};
}

}  // namespace

std::optional<std::string> JobRanks::ProgramFor(const std::string& image,
                                                const Settings& settings) {
  const std::string last = image.substr(image.rfind('/') + 1);
  const std::string repository = last.substr(0, last.find_first_of(":@"));
  for (const std::string& name : {image, last, repository}) {
    const auto found = settings.images.find(name);
    if (found != settings.images.end()) return found->second;
  }
  const bool ours = repository == "pytorch-training" ||
                    repository == "huggingface-pytorch-training" ||
                    repository.starts_with("bertie");
  return ours ? std::optional<std::string>("") : std::nullopt;
}

Status JobRanks::Start(const std::string& command) {
  const Digest256 secret = RandomBytes32();
  JobMeeting meeting{.token = Hex(AsText(secret))};
  BERTIE_ASSIGN_OR_RETURN(meeting.port, FreePort());
  for (const JobHost& host : files_.hosts()) {
    if (Status status = StartOne(host, command, meeting); !status.ok()) {
      KillStrays();
      return status;
    }
  }
  return {};
}

Status JobRanks::StartOne(const JobHost& host, const std::string& command,
                          const JobMeeting& meeting) {
  Variables variables = JobVariables(job_, settings_, host, meeting);
  ChildOptions options{.folder = files_.HostFolder(host)};
  if (command.empty()) {
    options.arguments = {kThisProgram, "train"};
    options.working_folder = host.base;
  } else {
    // "$@" in the command stands for the user's hyperparameters.
    options.arguments = {"sh", "-c", command, "sh"};
    const std::vector<std::string> arguments = ToolkitArguments(job_);
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    options.working_folder = host.base / "code";
    const Variables more = ToolkitVariables(job_, host);
    variables.insert(variables.end(), more.begin(), more.end());
  }
  options.environment = ThisEnvironment(variables);
  auto child = ChildProcess::Start(options);
  if (!child.ok()) return child.error();
  running_.insert_or_assign(host.rank, *std::move(child));
  return {};
}

Status JobRanks::Adopt() {
  running_.clear();
  for (const JobHost& host : files_.hosts()) {
    auto child = ChildProcess::Adopt(files_.HostFolder(host));
    if (!child.ok()) return child.error();
    running_.insert_or_assign(host.rank, *std::move(child));
  }
  return {};
}

void JobRanks::KillStrays() {
  running_.clear();
  for (const JobHost& host : files_.hosts()) {
    ChildProcess::KillLast(files_.HostFolder(host), kKillLimitMilliseconds);
  }
}

void JobRanks::EndBelow(const std::filesystem::path& job_folder) {
  for (const std::filesystem::path& host : FoldersIn(job_folder)) {
    ChildProcess::KillLast(host, kKillLimitMilliseconds);
  }
}

int JobRanks::Living() {
  int living = 0;
  for (auto& [rank, child] : running_) living += child.Poll() ? 0 : 1;
  return living;
}

std::vector<std::pair<int, ChildExit>> JobRanks::Ended() {
  std::vector<std::pair<int, ChildExit>> ended;
  for (auto& [rank, child] : running_) {
    if (const auto exit = child.Poll()) ended.emplace_back(rank, *exit);
  }
  for (const auto& [rank, exit] : ended) running_.erase(rank);
  return ended;
}

void JobRanks::Signal(int signal) {
  for (auto& [rank, child] : running_) child.Signal(signal);
}

}  // namespace bertie::cloud
