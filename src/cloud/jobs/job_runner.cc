#include "cloud/jobs/job_runner.h"

#include <signal.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "cloud/processes/stamped_log.h"

namespace bertie::cloud {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kLook{50};
constexpr seconds kReadLogs{1};
constexpr seconds kUploadCheckpoints{5};
// SageMaker's, between SIGTERM and SIGKILL.
constexpr seconds kJobStopLimit{120};
// For the others when one rank has failed; the machine's own ranks see it themselves.
constexpr seconds kFailureLimit{30};
constexpr int kMaxStarts = 4;
constexpr size_t kMaxJobReason = 1024;

}  // namespace

struct JobRunner::Watch {
  Clock::time_point read_logs = Clock::now();
  Clock::time_point checkpoints = Clock::now() + kUploadCheckpoints;
  std::optional<Clock::time_point> kill = {};  // SIGTERM has been sent
  bool lost = false;
};

std::string JobStream(const JobRecord& record, const std::string& host) {
  return record.name + "/" + host + "-" + std::to_string(record.created / 1000);
}

JobRunner::JobRunner(JobSurroundings surroundings, JobRequest job)
    : around_(std::move(surroundings)),
      job_(std::move(job)),
      files_(around_.store, job_, around_.folder / job_.name),
      ranks_(job_, around_.settings, files_),
      read_(files_.hosts().size()) {}

void JobRunner::Run(const std::stop_token& leave) {
  const std::optional<JobRecord> record = around_.board.Find(job_.name);
  if (!record) return;
  if (record->stopping) stopping_ = true;
  bool runs = TakeOver(*record);
  while (true) {
    if (!runs && !Begin(leave)) return;
    const Verdict verdict = Supervise(leave);
    if (verdict == Verdict::kLeft) return;
    if (verdict == Verdict::kEnded || stopping_ || too_long_) return Finish();
    Say("its ranks were lost; it begins again");
    around_.log("training job " + job_.name + ": its ranks were lost; it begins again");
    runs = false;
  }
}

bool JobRunner::TakeOver(const JobRecord& record) {
  if (record.starts == 0) return false;
  if (record.secondary != "Training" && record.secondary != "Stopping" &&
      record.secondary != "Uploading") {
    around_.log("training job " + job_.name + ": was " + record.secondary + "; it begins again");
    return false;
  }
  if (Status status = ranks_.Adopt(); !status.ok()) {
    around_.log("training job " + job_.name + ": " + status.error().message + "; it begins again");
    return false;
  }
  around_.log("training job " + job_.name + ": adopted, " + std::to_string(ranks_.Living()) +
              " of " + std::to_string(job_.instances) + " ranks running");
  return true;
}

// False when there is nothing to supervise: the job has ended, or is left.
bool JobRunner::Begin(const std::stop_token& leave) {
  ranks_.KillStrays();
  const std::optional<JobRecord> record = around_.board.Find(job_.name);
  if (!record || record->starts >= kMaxStarts) {
    Fail(Failure("InternalError",
                 "the job's processes were lost " + std::to_string(kMaxStarts) + " times"));
    return false;
  }
  if (stopping_) return End("Stopped", "Stopped", "Training job stopped"), false;
  if (record->starts > 0) Move("Restarting", "Restarting the training job");
  failed_.reset();
  std::string command;
  if (Done done = Prepare(leave, command); !done.ok()) return Fail(done.error()), false;
  if (leave.stop_requested()) return false;
  if (stopping_) return End("Stopped", "Stopped", "Training job stopped"), false;
  if (Status status = ranks_.Start(command); !status.ok()) {
    return Fail(Failure(status.error())), false;
  }
  Change([](JobRecord& job) {
    job.MoveTo("Training", "Training image download completed. Training in progress.");
    if (!job.started) job.started = job.modified;
  });
  return true;
}

Done JobRunner::Prepare(const std::stop_token& leave, std::string& command) {
  Change([](JobRecord& job) {
    ++job.starts;
    job.MoveTo("Downloading", "Downloading input data");
  });
  const auto program = JobRanks::ProgramFor(job_.image, around_.settings);
  if (!program) {
    return Failure("ClientError", "image not available locally: " + job_.image +
                                      " (bertie cloud --image IMAGE=COMMAND says what runs in its "
                                      "place)");
  }
  command = *program;
  if (!around_.store.FindBucket(job_.output.bucket)) {
    return Failure("ClientError", "the output's bucket is not there: " + job_.output.Text());
  }
  Done done = files_.Prepare([&] { return !leave.stop_requested() && !stopping_; });
  if (!done.ok()) return done;
  Say(command.empty() ? "image " + job_.image + ": bertie's own trainer runs in its place"
                      : "image " + job_.image + ": runs " + command);
  if (job_.instance_type.starts_with("ml.p") || job_.instance_type.starts_with("ml.g")) {
    Say("instance type " + job_.instance_type + " has a GPU; here the CPU trains");
  }
  return done;
}

JobRunner::Verdict JobRunner::Supervise(const std::stop_token& leave) {
  Watch watch;
  const auto begun = around_.board.Find(job_.name);
  while (true) {
    if (leave.stop_requested()) return Verdict::kLeft;
    NoteEnded(watch);
    const bool over = ranks_.Living() == 0;
    if (over) NoteEnded(watch);
    const Clock::time_point now = Clock::now();
    if (over || now >= watch.read_logs) {
      ReadLogs();
      watch.read_logs = now + kReadLogs;
    }
    if (over) return watch.lost ? Verdict::kLost : Verdict::kEnded;
    if (now >= watch.checkpoints) {
      if (Done done = files_.UploadCheckpoints(false); !done.ok()) {
        Say("checkpoints are not copied: " + done.error().message);
      }
      watch.checkpoints = now + kUploadCheckpoints;
    }
    too_long_ = too_long_ || Now() - begun->started.value_or(Now()) > job_.max_runtime_s * 1000;
    EndRanks(watch);
    std::this_thread::sleep_for(kLook);
  }
}

void JobRunner::NoteEnded(Watch& watch) {
  for (const auto& [rank, exit] : ranks_.Ended()) {
    if (exit.kind == ChildExit::Kind::kUnknown) watch.lost = true;
    if (!exit.Good() && !failed_) failed_.emplace(rank, exit);
  }
}

// SIGTERM, and SIGKILL when that has not helped in time.
void JobRunner::EndRanks(Watch& watch) {
  if (watch.lost) return ranks_.Signal(SIGKILL);
  if (!stopping_ && !too_long_ && !failed_) return;
  const Clock::time_point now = Clock::now();
  if (!watch.kill) {
    watch.kill = now + (failed_ && !stopping_ && !too_long_ ? kFailureLimit : kJobStopLimit);
    ranks_.Signal(SIGTERM);
  } else if (now >= *watch.kill) {
    ranks_.Signal(SIGKILL);
  }
}

void JobRunner::ReadLogs() {
  if (job_.metrics.empty()) return;
  for (const JobHost& host : files_.hosts()) {
    uint64_t& offset = read_[static_cast<size_t>(host.rank)];
    auto next = ReadLog(files_.Log(host), offset, [&](const LogLine& line) {
      for (const MetricPattern& metric : job_.metrics) {
        if (const auto value = metric.Find(line.text)) {
          around_.board.SetMetric(job_.name, metric.name(), {*value, line.time});
        }
      }
      return true;
    });
    if (next.ok()) offset = *next;
  }
}

void JobRunner::Finish() {
  if (failed_ && !stopping_ && !too_long_) return FinishFailed();
  Move("Uploading", "Uploading generated training model");
  Upload();
}

void JobRunner::Upload() {
  auto model = files_.UploadModel();
  Done rest = model.ok() ? files_.UploadOutput() : Done(model.error());
  if (rest.ok()) rest = files_.UploadCheckpoints(true);
  if (!rest.ok()) {
    const bool ours = std::string_view(rest.error().code) == "InternalError";
    return Fail(Failure(ours ? "InternalError" : "ClientError",
                        "upload of the results failed: " + rest.error().message));
  }
  Change([&](JobRecord& job) { job.artifacts = *model; });
  if (too_long_) {
    End("Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds");
  } else if (stopping_) {
    End("Stopped", "Stopped", "Training job stopped");
  } else {
    End("Completed", "Completed", "Training job completed");
  }
  files_.RemoveBases();  // last: until the job has ended they are all there is of its model
}

void JobRunner::FinishFailed() {
  const auto [rank, exit] = *failed_;
  std::string text = files_.FailureText(rank);
  if (text.empty()) {
    text = exit.kind == ChildExit::Kind::kExited ? "Exit Code: " + std::to_string(exit.code)
                                                 : exit.Text();
  }
  // What it left may help to see why; without it there is still the reason.
  if (Done done = files_.UploadOutput(); !done.ok()) Say("output: " + done.error().message);
  if (Done done = files_.UploadCheckpoints(true); !done.ok()) {
    Say("checkpoints: " + done.error().message);
  }
  const std::string tail = ", exit code: " + std::to_string(exit.ShellCode());
  text = "AlgorithmError: " + text;
  text.resize(std::min(text.size(), kMaxJobReason - tail.size()));
  Change([&](JobRecord& job) {
    job.failure = text + tail;
    job.End("Failed", "Failed", "Training job failed");
  });
  files_.RemoveBases();
}

void JobRunner::Fail(const Failure& failure) {
  const bool ours = std::string_view(failure.code) == "InternalError";
  const std::string reason = (ours ? "InternalServerError: " : "ClientError: ") + failure.message;
  Say("the job failed: " + reason);
  Change([&](JobRecord& job) {
    job.failure = reason.substr(0, kMaxJobReason);
    job.End("Failed", "Failed", "Training job failed");
  });
  files_.RemoveBases();
}

void JobRunner::End(const std::string& status, const std::string& secondary,
                    const std::string& message) {
  Change([&](JobRecord& job) { job.End(status, secondary, message); });
}

void JobRunner::Move(const std::string& secondary, const std::string& message) {
  Change([&](JobRecord& job) { job.MoveTo(secondary, message); });
}

void JobRunner::Change(const std::function<void(JobRecord&)>& change) {
  const Done done = around_.board.Change(job_.name, [&](JobRecord& record) -> Done {
    change(record);
    return std::monostate();
  });
  if (!done.ok()) around_.log("training job " + job_.name + ": " + done.error().message);
}

void JobRunner::Say(const std::string& line) {
  std::error_code ignored;
  std::filesystem::create_directories(files_.HostFolder(files_.hosts().front()), ignored);
  const Status status = AppendToLog(files_.Log(files_.hosts().front()), "bertie cloud: " + line);
  if (!status.ok()) around_.log("training job " + job_.name + ": " + status.error().message);
}

}  // namespace bertie::cloud
