#include "cloud/processes/child_keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>

#include "cloud/processes/stamped_log.h"

namespace bertie::cloud {
namespace {

// How long the end of a program may go unseen while something it started holds its output open.
constexpr int kLookMilliseconds = 200;
constexpr size_t kPiece = 4096;                            // read at once
constexpr int kPipePieces = (64 << 10) / int{kPiece} + 1;  // all that a pipe holds (pipe(7))

void WriteFully(int fd, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t wrote = write(fd, bytes, size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;  // a full disk costs the log's lines, not the program
    bytes += wrote;
    size -= static_cast<size_t>(wrote);
  }
}

// Puts the time in front of each line.
class Stamper {
 public:
  Stamper(int log, uint64_t max_log)
      : log_(log), max_log_(max_log), end_(std::max<off_t>(0, lseek(log, 0, SEEK_END))) {}

  // False at the output's end.
  bool Pump(int from) {
    char bytes[kPiece];
    const ssize_t size = read(from, bytes, sizeof(bytes));
    if (size < 0) return errno == EINTR || errno == EAGAIN;
    for (ssize_t at = 0; at < size; ++at) Take(bytes[at]);
    return size > 0;
  }
  // A last line without its end.
  void Finish() {
    if (size_ > kStampSize) EndLine();
  }

 private:
  void Take(char byte) {
    // A progress bar goes back to the line's beginning: what it wrote over is not kept.
    if (byte == '\r') {
      returned_ = true;
      return;
    }
    if (returned_ && byte != '\n') size_ = kStampSize;
    returned_ = false;
    if (byte == '\n') return EndLine();
    if (size_ == kStampSize + kMaxLogLine) EndLine();
    line_[size_++] = byte;
  }
  void EndLine() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    // Within a log times do not go back, though the clock may.
    last_ = std::max(last_, int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000);
    WriteStamp(last_, line_);
    line_[size_++] = '\n';
    WriteFully(log_, line_, size_);
    end_ += size_;
    size_ = kStampSize;
    if (max_log_ > 0 && end_ - begin_ > max_log_ + max_log_ / 4) DropOldest();
  }
  // A hole takes the place of the oldest lines, so that the others stay where they are, and readers
  // in the middle of them. On a file system without holes all lines go.
  void DropOldest() {
    begin_ = end_ - max_log_;
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (fallocate(log_, mode, 0, static_cast<off_t>(begin_)) == 0) return;
    if (ftruncate(log_, 0) == 0) begin_ = end_ = 0;
  }

  int log_;
  uint64_t max_log_;
  uint64_t begin_ = 0;  // of what is kept, as far as this process knows
  uint64_t end_;
  int64_t last_ = 0;
  bool returned_ = false;
  size_t size_ = kStampSize;
  char line_[kStampSize + kMaxLogLine + 1];
};

[[noreturn]] void BecomeProgram(const KeeperPlan& plan, int output) {
  setpgid(0, 0);
  char byte = 0;
  ssize_t got = 0;
  do {
    got = read(plan.go, &byte, 1);
  } while (got < 0 && errno == EINTR);
  if (got != 1) _exit(127);  // the cloud was killed before it wrote down who this is
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  if (plan.working_folder == nullptr || chdir(plan.working_folder) == 0) {
    execve(plan.program, plan.arguments, plan.environment);
  }
  const int error = errno;
  WriteFully(plan.report, reinterpret_cast<const char*>(&error), sizeof(error));
  _exit(127);
}

// Signals as a program expects them: the cloud's threads block some, and ignore others.
void ResetSignals() {
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void CloseRange(int from, int to) {
  if (from > to || close_range(static_cast<unsigned>(from), static_cast<unsigned>(to), 0) == 0) {
    return;
  }
  // A kernel without it.
  for (int fd = from; fd <= std::min(to, 65536); ++fd) close(fd);
}

void CloseAllBut(int a, int b, int c) {
  const int kept[] = {std::min({a, b, c}), std::max(std::min(a, b), std::min(std::max(a, b), c)),
                      std::max({a, b, c})};
  int from = 0;
  for (const int fd : kept) {
    CloseRange(from, fd - 1);
    from = fd + 1;
  }
  CloseRange(from, std::numeric_limits<int>::max());
}

void WriteExit(const KeeperPlan& plan, const siginfo_t& end) {
  char text[32];
  const bool exited = end.si_code == CLD_EXITED;
  const char* word = exited ? "exit " : "signal ";
  size_t size = std::strlen(word);
  std::memcpy(text, word, size);
  const int code = end.si_status & 0xff;
  for (int unit = 100; unit > 0; unit /= 10) {
    text[size++] = static_cast<char>('0' + code / unit % 10);
  }
  text[size++] = '\n';
  const int file = open(plan.exit_draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return;
  WriteFully(file, text, size);
  fsync(file);
  close(file);
  rename(plan.exit_draft, plan.exit_file);
}

}  // namespace

void RunKeeper(const KeeperPlan& plan) {
  setsid();
  prctl(PR_SET_NAME, kKeeperName);
  CloseAllBut(plan.log, plan.report, plan.go);
  ResetSignals();
  // Three descriptors that nothing else may get.
  while (open("/dev/null", O_RDWR | O_CLOEXEC) < STDERR_FILENO) {
  }
  int output[2] = {-1, -1};
  KeeperReport report;
  if (pipe2(output, O_CLOEXEC) == 0) {
    report.program = fork();
    if (report.program == 0) BecomeProgram(plan, output[1]);
  }
  report.error = errno;
  if (report.program < 0) report.program = 0;
  if (report.program > 0) setpgid(report.program, report.program);
  // Whoever ends the cloud's session or the container: the program is told, and this one sees how
  // it ends.
  for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) signal(number, SIG_IGN);
  WriteFully(plan.report, reinterpret_cast<const char*>(&report), sizeof(report));
  close(plan.report);
  close(plan.go);
  close(output[1]);
  if (report.program == 0) _exit(1);

  fcntl(output[0], F_SETFL, O_NONBLOCK);
  Stamper stamper(plan.log, plan.max_log);
  siginfo_t end{};
  bool open = true;
  while (end.si_pid == 0) {
    pollfd ready{.fd = output[0], .events = POLLIN, .revents = 0};
    if (open && poll(&ready, 1, kLookMilliseconds) > 0) open = stamper.Pump(output[0]);
    // Not reaped yet: its number and its group's stay its own.
    const int options = WEXITED | WNOWAIT | (open ? WNOHANG : 0);
    if (waitid(P_PID, static_cast<id_t>(report.program), &end, options) != 0 && errno != EINTR) {
      _exit(1);
    }
  }
  kill(-report.program, SIGKILL);
  // What is in the pipe, and no more: a process that left the group may go on writing.
  for (int piece = 0; open && piece < kPipePieces; ++piece) {
    pollfd ready{.fd = output[0], .events = POLLIN, .revents = 0};
    open = poll(&ready, 1, 0) > 0 && stamper.Pump(output[0]);
  }
  stamper.Finish();
  WriteExit(plan, end);
  int ignored = 0;
  waitpid(report.program, &ignored, 0);
  _exit(0);
}

}  // namespace bertie::cloud
