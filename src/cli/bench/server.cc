#include "cli/bench/server.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>
#include <utility>

namespace bertie::cli {
namespace {

constexpr const char* kProgram = "/proc/self/exe";
constexpr std::chrono::seconds kEndLimit{10};

Error SystemError(const std::string& action) {
  return {ErrorCode::kIo, "cannot " + action + ": " + std::generic_category().message(errno)};
}

// In the child, between fork and exec: only what is safe there.
[[noreturn]] void RunChild(char* const* arguments, int log, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(nothing, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(kProgram, arguments);
  _exit(127);
}

// The address in the server's line "... on http://ADDRESS, loaded in ..."; "" where that line is
// not there yet.
std::string FindAddress(const std::string& log) {
  const size_t end = log.find(", loaded in ");
  const size_t start = end == log.npos ? log.npos : log.rfind(" on http://", end);
  if (start == log.npos) return "";
  return log.substr(start + 4, end - start - 4);
}

}  // namespace

Result<std::unique_ptr<ServerProcess>> ServerProcess::Start(
    const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"bertie", "serve"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  words.insert(words.end(), {"--port", "0"});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return SystemError("make a pipe");
  const pid_t parent = getpid();
  const pid_t process = fork();
  if (process == 0) RunChild(argv.data(), ends[1], parent);
  const int fork_error = errno;
  close(ends[1]);
  if (process < 0) {
    close(ends[0]);
    errno = fork_error;
    return SystemError("start a process");
  }
  auto server = std::unique_ptr<ServerProcess>(new ServerProcess(process, ends[0]));
  BERTIE_RETURN_IF_ERROR(server->WaitUntilReady());
  server->reader_ = std::thread([log = ends[0]] {
    char bytes[4096];
    ssize_t size = 0;
    do {
      size = read(log, bytes, sizeof(bytes));
    } while (size > 0 || (size < 0 && errno == EINTR));
  });
  return server;
}

Status ServerProcess::WaitUntilReady() {
  std::string log;
  char bytes[4096];
  for (;;) {
    const ssize_t size = read(log_, bytes, sizeof(bytes));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      while (!log.empty() && log.back() == '\n') log.pop_back();
      return Error{ErrorCode::kUnavailable, "the server that was to be measured ended: " +
                                                (log.empty() ? "(no word)" : log)};
    }
    log.append(bytes, static_cast<size_t>(size));
    const std::string address = FindAddress(log);
    if (address.empty()) continue;
    BERTIE_ASSIGN_OR_RETURN(url_, http::ParseUrl(address));
    url_.target = "/invocations";
    return {};
  }
}

ServerProcess::~ServerProcess() {
  kill(process_, SIGTERM);
  const auto limit = std::chrono::steady_clock::now() + kEndLimit;
  int status = 0;
  while (waitpid(process_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > limit) kill(process_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (reader_.joinable()) reader_.join();  // the pipe ended with the process
  close(log_);
}

}  // namespace bertie::cli
