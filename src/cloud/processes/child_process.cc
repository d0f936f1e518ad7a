#include "cloud/processes/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <sstream>
#include <system_error>
#include <thread>

#include "base/directory.h"
#include "base/file.h"
#include "cloud/processes/child_keeper.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxSmallFile = 64 * 1024;

Error SystemError(int error, const std::string& action) {
  return {error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
          "cannot " + action + ": " + std::generic_category().message(error)};
}

// What /proc/PID/stat says, from field 3 on.
struct ProcessStat {
  char state = 0;
  pid_t parent = 0;
  uint64_t start = 0;
};

Result<ProcessStat> ReadStat(pid_t pid) {
  BERTIE_ASSIGN_OR_RETURN(const std::string text,
                          ReadFile("/proc/" + std::to_string(pid) + "/stat", kMaxSmallFile));
  // The name, in brackets, may hold anything; field 3 is after the last bracket.
  std::istringstream fields(text.substr(std::min(text.rfind(')'), text.size() - 1) + 1));
  ProcessStat stat;
  fields >> stat.state >> stat.parent;
  std::string skipped;
  for (int field = 5; field < 22; ++field) fields >> skipped;
  if (!(fields >> stat.start)) {
    return Error{ErrorCode::kNotFound, "process " + std::to_string(pid) + " has no start time"};
  }
  return stat;
}

bool IsKeeper(pid_t pid) {
  const auto name = ReadFile("/proc/" + std::to_string(pid) + "/comm", kMaxSmallFile);
  return name.ok() && *name == std::string(kKeeperName) + "\n";
}

std::string BootId() {
  auto text = ReadFile("/proc/sys/kernel/random/boot_id", kMaxSmallFile);
  return text.ok() ? text->substr(0, text->find('\n')) : std::string("unknown");
}

// Both ends of a pipe.
struct Pipe {
  Pipe() = default;
  ~Pipe() {
    for (const int end : ends) {
      if (end >= 0) ::close(end);
    }
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  bool Make() { return ::pipe2(ends, O_CLOEXEC) == 0; }
  void Close(int end) {
    ::close(ends[end]);
    ends[end] = -1;
  }
  int ends[2] = {-1, -1};
};

// False when the other side ended before.
bool ReadFully(int fd, void* to, size_t size) {
  auto* bytes = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t got = ::read(fd, bytes, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// As a shell finds it. Without a hit the name itself, for which exec then says why.
std::string FindProgram(const std::string& name, const std::vector<std::string>& environment) {
  if (name.find('/') != name.npos) return name;
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& variable : environment) {
    if (variable.starts_with("PATH=")) path = variable.substr(5);
  }
  std::istringstream folders(path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path candidate = fs::path(folder.empty() ? "." : folder) / name;
    std::error_code error;
    if (::access(candidate.c_str(), X_OK) == 0 && fs::is_regular_file(candidate, error)) {
      return candidate.string();
    }
  }
  return name;
}

std::optional<ChildExit> ReadExit(const fs::path& folder) {
  auto text = ReadFile(folder / "exit", kMaxSmallFile);
  if (!text.ok()) return std::nullopt;
  std::istringstream words(*text);
  std::string kind;
  ChildExit exit;
  words >> kind >> exit.code;
  if (words && kind == "exit") exit.kind = ChildExit::Kind::kExited;
  if (words && kind == "signal") exit.kind = ChildExit::Kind::kSignal;
  return exit;
}

Status WriteId(const fs::path& folder, const ProcessId& id) {
  return WriteFileAtomically(folder / "pid", std::to_string(id.pid) + " " +
                                                 std::to_string(id.start) + " " + id.boot + "\n");
}

// Writes down who the program is, and has it begin. report and go: of a KeeperPlan, the other ends.
Result<ProcessId> LetGo(const ChildOptions& options, int report, int go) {
  KeeperReport first;
  if (!ReadFully(report, &first, sizeof(first)) || first.program == 0) {
    return SystemError(first.error, "start a process");
  }
  BERTIE_ASSIGN_OR_RETURN(ProcessId id, ProcessId::Of(first.program));
  BERTIE_RETURN_IF_ERROR(WriteId(options.folder, id));
  if (::write(go, "", 1) != 1) return SystemError(errno, "start a process");
  // Its end is closed by exec, or says why there was none.
  int exec_error = 0;
  if (ReadFully(report, &exec_error, sizeof(exec_error))) {
    return SystemError(exec_error, "run " + options.arguments.front());
  }
  return id;
}

Status PrepareFolder(const fs::path& folder) {
  BERTIE_RETURN_IF_ERROR(MakeFolders(folder));
  std::error_code error;
  for (const char* name : {"pid", "exit"}) {
    fs::remove(folder / name, error);
    if (error) return FileError(error.value(), folder / name, "remove");
  }
  return {};
}

}  // namespace

std::vector<std::string> ThisEnvironment(
    const std::vector<std::pair<std::string, std::optional<std::string>>>& changes) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  for (const auto& [name, value] : changes) {
    std::erase_if(variables, [&](const std::string& variable) {
      return variable.size() > name.size() && variable.starts_with(name) &&
             variable[name.size()] == '=';
    });
    if (value) variables.push_back(name + "=" + *value);
  }
  return variables;
}

Result<ProcessId> ProcessId::Of(pid_t pid) {
  BERTIE_ASSIGN_OR_RETURN(const ProcessStat stat, ReadStat(pid));
  return ProcessId{.pid = pid, .start = stat.start, .boot = BootId()};
}

bool ProcessId::Lives() const {
  const auto now = ReadStat(pid);
  if (!now.ok() || now->start != start || BootId() != boot) return false;
  return now->state != 'Z' || IsKeeper(now->parent);
}

int ChildExit::ShellCode() const {
  if (kind == Kind::kUnknown) return 255;
  return kind == Kind::kExited ? code : 128 + code;
}

std::string ChildExit::Text() const {
  if (kind == Kind::kUnknown) return "an unknown end";
  if (kind == Kind::kExited) return "exit code " + std::to_string(code);
  const char* name = ::sigdescr_np(code);
  return "signal " + std::to_string(code) + (name == nullptr ? "" : " (" + std::string(name) + ")");
}

Result<ChildProcess> ChildProcess::Start(const ChildOptions& options) {
  BERTIE_RETURN_IF_ERROR(PrepareFolder(options.folder));
  std::vector<std::string> arguments = options.arguments;
  std::vector<std::string> environment = options.environment;
  const std::vector<char*> argv = Pointers(arguments);
  const std::vector<char*> envp = Pointers(environment);
  const std::string program = FindProgram(arguments.front(), environment);
  const std::string exit_file = (options.folder / "exit").string();
  const std::string exit_draft = (options.folder / ".exit.new").string();
  const std::string log = (options.log.empty() ? options.folder / "log" : options.log).string();

  Pipe report, go;
  if (!report.Make() || !go.Make()) return SystemError(errno, "make a pipe");
  const int log_fd = ::open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (log_fd < 0) return FileError(errno, log, "open");
  const KeeperPlan plan{
      .arguments = argv.data(),
      .environment = envp.data(),
      .program = program.c_str(),
      .working_folder = options.working_folder.empty() ? nullptr : options.working_folder.c_str(),
      .exit_file = exit_file.c_str(),
      .exit_draft = exit_draft.c_str(),
      .log = log_fd,
      .max_log = options.max_log,
      .report = report.ends[1],
      .go = go.ends[0]};
  const pid_t keeper = ::fork();
  if (keeper == 0) RunKeeper(plan);
  const int fork_error = errno;
  ::close(log_fd);
  report.Close(1);
  go.Close(0);
  if (keeper < 0) return SystemError(fork_error, "start a process");

  auto id = LetGo(options, report.ends[0], go.ends[1]);
  if (id.ok()) return ChildProcess(options.folder, *std::move(id), keeper);
  // Without the byte the program ends, and the keeper with it.
  go.Close(1);
  ::waitpid(keeper, nullptr, 0);
  std::error_code ignored;
  fs::remove(options.folder / "pid", ignored);
  return id.error();
}

Result<ChildProcess> ChildProcess::Adopt(const fs::path& folder) {
  BERTIE_ASSIGN_OR_RETURN(const std::string text, ReadFile(folder / "pid", kMaxSmallFile));
  std::istringstream words(text);
  ProcessId id;
  if (!(words >> id.pid >> id.start >> id.boot) || id.pid <= 1) {
    return Error{ErrorCode::kInvalidData,
                 (folder / "pid").string() + ": expected a process, its start and the boot"};
  }
  return ChildProcess(folder, std::move(id), 0);
}

void ChildProcess::KillLast(const fs::path& folder, int milliseconds) {
  auto child = Adopt(folder);
  if (!child.ok()) return;
  child->Signal(SIGKILL);
  child->WaitFor(milliseconds);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : folder_(std::move(other.folder_)),
      id_(std::move(other.id_)),
      keeper_(std::exchange(other.keeper_, 0)),
      exit_(other.exit_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(id_, other.id_);
  std::swap(keeper_, other.keeper_);
  std::swap(exit_, other.exit_);
  return *this;
}

ChildProcess::~ChildProcess() {
  // Having written the end down, the keeper ends at once; one that goes on is left to it.
  if (keeper_ > 0) ::waitpid(keeper_, nullptr, exit_ ? 0 : WNOHANG);
}

void ChildProcess::ReapKeeper() {
  if (keeper_ > 0 && ::waitpid(keeper_, nullptr, WNOHANG) != 0) keeper_ = 0;
}

std::optional<ChildExit> ChildProcess::Poll() {
  if (exit_) {
    ReapKeeper();
    return exit_;
  }
  // The file is there before the process is gone; seen the other way round, it would be missed.
  const bool lives = id_.Lives();
  exit_ = ReadExit(folder_);
  if (!exit_ && !lives) exit_ = ChildExit{};
  ReapKeeper();
  return exit_;
}

std::optional<ChildExit> ChildProcess::WaitFor(int milliseconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (true) {
    std::optional<ChildExit> exit = Poll();
    if (exit || std::chrono::steady_clock::now() >= end) return exit;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void ChildProcess::Signal(int signal) {
  if (!Poll() && id_.Lives()) ::kill(-id_.pid, signal);
}

}  // namespace bertie::cloud
