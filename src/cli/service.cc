#include "cli/service.h"

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <thread>
#include <utility>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/notify.h"
#include "formats/json.h"

namespace bertie::cli {
namespace {

// As standard error itself, one for the process.
std::atomic<LogFormat> log_format{LogFormat::kText};

sigset_t HangUp() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGHUP);
  return signals;
}

}  // namespace

void SetLogFormat(LogFormat format) { log_format = format; }

std::string LogTime() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + size, text.size() - size, ".%03dZ",
                static_cast<int>(milliseconds % 1000));
  return text.data();
}

std::string LogLine(std::string_view line) {
  if (log_format == LogFormat::kText) return "bertie: " + std::string(line) + "\n";
  return "{\"time\":\"" + LogTime() +
         "\",\"level\":\"info\",\"message\":" + formats::DumpJson(formats::Json(line)) + "}\n";
}

void Log(std::string_view line) {
  const std::string text = LogLine(line);
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

void BoundedLog::operator()(std::string_view line) const {
  std::lock_guard lock(state_->mutex);
  auto now = std::chrono::steady_clock::now();
  if (now - state_->second >= std::chrono::seconds(1)) {
    if (state_->dropped > 0) Log(std::to_string(state_->dropped) + " more such lines left out");
    state_->second = now;
    state_->lines = 0;
    state_->dropped = 0;
  }
  if (state_->lines++ < 10) return Log(line);
  ++state_->dropped;
}

StopSignal::StopSignal() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::thread([state = state_, signals] {
    int number = 0;
    sigwait(&signals, &number);
    {
      std::lock_guard lock(state->mutex);
      state->came = true;
    }
    state->changed.notify_all();
    const timespec limit{.tv_sec = kExitLimit.count(), .tv_nsec = 0};
    int second = 0;
    do {
      second = sigtimedwait(&signals, nullptr, &limit);
    } while (second < 0 && errno == EINTR);  // stopped and continued meanwhile
    if (second > 0) {
      Log("second signal: ending at once");
      _exit(kExitInterrupted);
    }
    Log("not ended " + std::to_string(kExitLimit.count()) + " s after the signal: giving up");
    _exit(kExitFailure);
  }).detach();
}

void StopSignal::Wait() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->came; });
}

void BlockHangUp() {
  const sigset_t signals = HangUp();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

HangUpSignal::HangUpSignal(std::function<void()> callback) {
  thread_ = std::thread([this, callback = std::move(callback)] {
    const sigset_t signals = HangUp();
    while (true) {
      int number = 0;
      sigwait(&signals, &number);
      if (stop_) return;
      callback();
    }
  });
}

HangUpSignal::~HangUpSignal() {
  stop_ = true;
  pthread_kill(thread_.native_handle(), SIGHUP);
  thread_.join();
}

int DrainOnSignal(StopSignal& stop, const std::function<bool(std::chrono::milliseconds)>& drain,
                  const DrainWords& words) {
  NotifySupervisor("READY=1");
  stop.Wait();
  NotifySupervisor("STOPPING=1");
  Log(std::string("stopping: ") + words.doing + " (a second signal ends at once)");
  if (!drain(kDrainLimit)) {
    Log(std::string(words.work) + " were still under way after " +
        std::to_string(kDrainLimit.count()) + " s and were cut off");
    return kExitFailure;
  }
  Log("stopped");
  return kExitOk;
}

Status WriteAddressFile(const std::string& file, const std::string& address) {
  if (file.empty()) return {};
  return WriteFileAtomically(file, address + "\n");
}

std::string LocalUrl(const std::string& host, const std::string& address, bool tls) {
  const bool everywhere = host == "0.0.0.0" || host == "::";
  return (tls ? "https://" : "http://") +
         (everywhere ? "127.0.0.1" + address.substr(address.rfind(':')) : address);
}

}  // namespace bertie::cli
