#include "cli/train/processes.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/hmac.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "comm/socket.h"

namespace bertie::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kStartedRank = "BERTIE_STARTED_RANK";
constexpr auto kGrace = std::chrono::seconds(10);

volatile std::sig_atomic_t signalled = 0;

void NoteSignal(int signal) { signalled = signal; }

struct Rank {
  pid_t pid = -1;
  int stderr_fd = -1;  // of ranks above 0
  std::string line;    // begun, not ended
  bool running = true;
};

std::string DescribeEnd(int rank, int state) {
  std::string text = "rank " + std::to_string(rank);
  if (WIFSIGNALED(state)) {
    return text + " was killed by signal " + std::to_string(WTERMSIG(state)) + " (" +
           strsignal(WTERMSIG(state)) + ")";
  }
  return text + " ended with exit code " + std::to_string(WEXITSTATUS(state));
}

int ExitCode(int state) { return WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state); }

class Processes {
 public:
  Processes(int count, comm::Socket listener)
      : ranks_(static_cast<size_t>(count)), listener_(std::move(listener)) {}

  Status Start();
  int Wait();

 private:
  Status StartOne(int rank);
  [[noreturn]] void Become(int rank, int stderr_fd, pid_t parent);
  void Forward();
  void ReadLines(int rank);
  void Reap();
  void SignalAll(int signal);
  bool AnyRunning() const;

  std::vector<Rank> ranks_;
  comm::Socket listener_;
  std::string token_ = Hex(AsText(RandomBytes32()));
  std::vector<std::string> arguments_ = ProgramArguments();
  std::string problem_;  // of the rank that failed first
  int exit_code_ = kExitOk;
  Clock::time_point failed_at_;
};

Status Processes::Start() {
  for (int rank = 0; rank < static_cast<int>(ranks_.size()); ++rank) {
    BERTIE_RETURN_IF_ERROR(StartOne(rank));
  }
  listener_.Close();
  return {};
}

Status Processes::StartOne(int rank) {
  int ends[2] = {-1, -1};
  if (rank > 0 && pipe2(ends, O_CLOEXEC) != 0) {
    return Error{ErrorCode::kIo, std::string("cannot make a pipe: ") + std::strerror(errno)};
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return Error{ErrorCode::kIo,
                 "cannot start rank " + std::to_string(rank) + ": " + std::strerror(errno)};
  }
  if (pid == 0) Become(rank, ends[1], parent);
  if (rank > 0) {
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
  ranks_[static_cast<size_t>(rank)].pid = pid;
  ranks_[static_cast<size_t>(rank)].stderr_fd = ends[0];
  return {};
}

// In the child. Out of the terminal's foreground group, so that Ctrl-C reaches each rank once, from
// the parent; and ended when the parent is.
void Processes::Become(int rank, int stderr_fd, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(kExitFailure);
  const std::string size = std::to_string(ranks_.size());
  setenv(kStartedRank, "1", 1);
  setenv("RANK", std::to_string(rank).c_str(), 1);
  setenv("LOCAL_RANK", std::to_string(rank).c_str(), 1);
  setenv("WORLD_SIZE", size.c_str(), 1);
  setenv("LOCAL_WORLD_SIZE", size.c_str(), 1);
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  setenv("MASTER_PORT", std::to_string(comm::LocalPort(listener_.fd())).c_str(), 1);
  setenv("BERTIE_RANK_TOKEN", token_.c_str(), 1);
  unsetenv("GLOO_SOCKET_IFNAME");
  if (rank == 0) {
    fcntl(listener_.fd(), F_SETFD, 0);
    setenv("BERTIE_RANK_SOCKET", std::to_string(listener_.fd()).c_str(), 1);
  } else {
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(nothing, 0);
    dup2(nothing, 1);
    dup2(stderr_fd, 2);
  }
  std::vector<char*> words;
  for (auto& argument : arguments_) words.push_back(argument.data());
  words.push_back(nullptr);
  execv("/proc/self/exe", words.data());
  _exit(127);
}

int Processes::Wait() {
  int sent = 0;
  bool killed = false;
  while (AnyRunning()) {
    Forward();
    Reap();
    if (signalled != sent) {
      sent = signalled;
      SignalAll(sent);
    }
    if (exit_code_ != kExitOk && !killed && sent == 0 && Clock::now() - failed_at_ > kGrace) {
      killed = true;
      SignalAll(SIGKILL);
    }
  }
  Forward();
  if (!problem_.empty() && sent == 0) {
    std::cerr << "bertie: " << problem_ << "; this goes on with the run:\n"
              << ShellLine(WithResume(arguments_)) << std::endl;
  }
  return exit_code_;
}

bool Processes::AnyRunning() const {
  for (const Rank& rank : ranks_) {
    if (rank.running) return true;
  }
  return false;
}

void Processes::SignalAll(int signal) {
  for (const Rank& rank : ranks_) {
    if (rank.running) kill(rank.pid, signal);
  }
}

// What ranks above 0 say, a line at a time; returns after a tenth of a second at most.
void Processes::Forward() {
  std::vector<pollfd> wait;
  std::vector<int> who;
  for (size_t rank = 1; rank < ranks_.size(); ++rank) {
    if (ranks_[rank].stderr_fd < 0) continue;
    wait.push_back({ranks_[rank].stderr_fd, POLLIN, 0});
    who.push_back(static_cast<int>(rank));
  }
  if (poll(wait.data(), wait.size(), 100) <= 0) return;
  for (size_t i = 0; i < wait.size(); ++i) {
    if (wait[i].revents != 0) ReadLines(who[i]);
  }
}

void Processes::ReadLines(int index) {
  Rank& rank = ranks_[static_cast<size_t>(index)];
  char bytes[4096];
  ssize_t got = 0;
  while ((got = read(rank.stderr_fd, bytes, sizeof(bytes))) > 0) {
    rank.line.append(bytes, static_cast<size_t>(got));
  }
  const bool ended = got == 0;
  if (ended && !rank.line.empty()) rank.line += '\n';
  for (size_t end = 0; (end = rank.line.find('\n')) != std::string::npos;) {
    std::cerr << "[rank " << index << "] " << rank.line.substr(0, end) << std::endl;
    rank.line.erase(0, end + 1);
  }
  if (ended) close(std::exchange(rank.stderr_fd, -1));
}

void Processes::Reap() {
  const bool failed_before = exit_code_ != kExitOk;
  bool by_signal = false;
  for (size_t i = 0; i < ranks_.size(); ++i) {
    Rank& rank = ranks_[i];
    int state = 0;
    if (!rank.running || waitpid(rank.pid, &state, WNOHANG) != rank.pid) continue;
    rank.running = false;
    if (ExitCode(state) == kExitOk || failed_before) continue;
    // Of those that end at about the same time a killed one was the first: the others end because
    // they miss it.
    if (exit_code_ != kExitOk && (by_signal || !WIFSIGNALED(state))) continue;
    by_signal = WIFSIGNALED(state);
    exit_code_ = ExitCode(state);
    failed_at_ = Clock::now();
    problem_ = DescribeEnd(static_cast<int>(i), state);
  }
}

}  // namespace

bool IsStartedRank() { return std::getenv(kStartedRank) != nullptr; }

Result<int> RunProcesses(int count) {
  BERTIE_ASSIGN_OR_RETURN(comm::Socket listener, comm::Listen("127.0.0.1", 0));
  std::signal(SIGINT, NoteSignal);
  std::signal(SIGTERM, NoteSignal);
  Processes processes(count, std::move(listener));
  BERTIE_RETURN_IF_ERROR(processes.Start());
  return processes.Wait();
}

}  // namespace bertie::cli
