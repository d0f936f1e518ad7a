// One instance of an endpoint's variant: a `bertie serve`, and its `bertie accelerator` where the
// variant has one. Children that outlive this process (cloud/processes/child_process.h).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/endpoints/routes.h"
#include "cloud/processes/child_process.h"

namespace bertie::cloud {

struct WorkerOptions {
  std::string label;                       // in log lines: "endpoint NAME: VARIANT/0"
  std::filesystem::path folder;            // its own; made when it is not there
  std::filesystem::path model;             // what `bertie serve` takes
  std::shared_ptr<ModelHost> models = {};  // or the models that it is asked to load
  VariantPlan plan;
  std::filesystem::path log_file;  // of the server's lines; kMaxInstanceLog
  bool served_before = false;      // of an endpoint that was in service: its end is no failure
  std::function<void(std::string_view)> log;
  std::function<void(uint16_t)> close_connections;  // that are kept to a port and idle
};

// A program that is to run all the time.
class WorkerProgram {
 public:
  using Clock = std::chrono::steady_clock;

  // log: its file. In both: made when they are not there.
  WorkerProgram(std::filesystem::path folder, std::filesystem::path log)
      : folder_(std::move(folder)), log_(std::move(log)) {}

  // Takes over what an earlier process started here. False when none of it runs.
  bool Adopt();
  Status Start(std::vector<std::string> arguments, std::vector<std::string> environment);
  // nullopt while it runs, or was never started.
  std::optional<ChildExit> Poll();
  bool runs() const { return child_.has_value(); }
  void Signal(int signal);
  pid_t pid() const { return child_ ? child_->id().pid : 0; }

  // "HOST:PORT" where it listens; empty before.
  std::string address() const;
  // The last line that it wrote, without "bertie: ".
  std::string LastWords() const;
  std::filesystem::path address_file() const { return folder_ / "address"; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_, log_;
  std::optional<ChildProcess> child_;
  uint64_t log_begin_ = 0;  // where what this child wrote begins
};

// One thread at a time, but for the target.
class Worker {
 public:
  explicit Worker(WorkerOptions options);

  // Takes over programs that an earlier process started, if they still run.
  bool Adopt();
  // Ends them, in a worker's folder that no worker is made for.
  static void EndLast(const std::filesystem::path& folder);

  // Does what there is to do: starts programs, asks them how they are, starts them again. May block
  // for the time that a loaded machine takes to answer on loopback.
  void Tick();

  bool ready() const { return target_->port != 0; }
  // Why it cannot serve; only before it has served once.
  const std::optional<std::string>& failure() const { return failure_; }
  const std::shared_ptr<Target>& target() const { return target_; }

  // Ends the programs in order, within 30 s, in further Ticks.
  void Stop();
  void Kill();
  bool stopped() const { return stopping_ && !serve_.runs() && !accelerator_.runs(); }

 private:
  using Clock = std::chrono::steady_clock;

  void TickStopping(Clock::time_point now);
  bool TickAccelerator(Clock::time_point now);
  void Reattach(Clock::time_point now);
  void StartServe(Clock::time_point now);
  void OnServeEnd(const ChildExit& end, Clock::time_point now);
  void AskServe(Clock::time_point now);
  void Fail(const std::string& reason);
  std::vector<std::string> Environment() const;
  bool has_accelerator() const { return !options_.plan.accelerator_type.empty(); }
  void Retry(Clock::time_point now);
  void Log(const std::string& line) const { options_.log(options_.label + line); }

  WorkerOptions options_;
  std::shared_ptr<Target> target_;
  WorkerProgram serve_;
  WorkerProgram accelerator_;
  std::string accelerator_address_;  // kept, so that the server finds the next one there too
  std::string attached_;             // the one that the server was told
  bool reattaching_ = false;         // the server was told to end, for the next one's address
  bool served_ = false;
  bool stopping_ = false;
  bool accelerator_told_ = false;
  bool killed_ = false;
  std::optional<std::string> failure_;
  std::chrono::milliseconds backoff_{0};
  Clock::time_point start_at_;    // not before
  Clock::time_point started_at_;  // of the server that runs
  Clock::time_point ask_at_;      // the next ping
  Clock::time_point kill_at_;     // when stopping or reattaching
  int unanswered_ = 0;            // pings in a row
};

}  // namespace bertie::cloud
