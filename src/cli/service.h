// What the programs that run until they are told to stop have in common: their log and their end.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/status.h"

namespace bertie::cli {

// SageMaker and Kubernetes kill 30 s after their SIGTERM.
inline constexpr std::chrono::seconds kDrainLimit{25};
inline constexpr std::chrono::seconds kExitLimit{29};

enum class LogFormat { kText, kJson };

// Of the process's standard error, from here on: before other threads log.
void SetLogFormat(LogFormat format);

// "bertie: <line>" on stderr, in one write, so that lines of several threads do not mix. As JSON
// {"time": ..., "level": "info", "message": <line>}.
void Log(std::string_view line);

// What Log writes, with the line's end.
std::string LogLine(std::string_view line);
// "2026-01-31T23:59:59.123Z".
std::string LogTime();

// At most ten lines a second, whatever clients do, so that none of them can fill the disk. Copies
// share the count. Any thread.
class BoundedLog {
 public:
  void operator()(std::string_view line) const;

 private:
  struct State {
    std::mutex mutex;  // guards all below
    std::chrono::steady_clock::time_point second;
    int lines = 0;
    int64_t dropped = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// Waits for SIGINT and SIGTERM on a thread of its own, which outlives the object: a second signal,
// or kExitLimit after the first, ends the process whatever the rest of it is doing.
class StopSignal {
 public:
  // Before any other thread starts, so that all of them leave the signals to this one.
  StopSignal();

  void Wait();

 private:
  struct State {
    std::mutex mutex;  // guards came
    std::condition_variable changed;
    bool came = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// Has all threads that start after it leave SIGHUP to a HangUpSignal; the first of them counts what
// came before.
void BlockHangUp();

// Calls back for every SIGHUP, on a thread of its own, one call at a time.
class HangUpSignal {
 public:
  explicit HangUpSignal(std::function<void()> callback);
  // Waits for the call that runs.
  ~HangUpSignal();
  HangUpSignal(const HangUpSignal&) = delete;
  HangUpSignal& operator=(const HangUpSignal&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// What the log says is being ended.
struct DrainWords {
  const char* doing = "finishing the requests under way";
  const char* work = "requests";
};

// Waits for the signal, then ends in order; systemd hears of both ends of that. drain gets the time
// there is for it, and says false where work was cut off. The exit code is then kExitFailure.
int DrainOnSignal(StopSignal& stop, const std::function<bool(std::chrono::milliseconds)>& drain,
                  const DrainWords& words = {});

// Writes "HOST:PORT" to a file once a server listens there, for whoever started it with port 0:
// whole or not at all. Nothing to do for "".
Status WriteAddressFile(const std::string& file, const std::string& address);

// Where a client on this machine reaches a server that was told to listen on host, and does on
// address ("127.0.0.1:8080").
std::string LocalUrl(const std::string& host, const std::string& address, bool tls = false);

}  // namespace bertie::cli
