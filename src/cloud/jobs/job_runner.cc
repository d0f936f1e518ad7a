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
// On a full disk.
constexpr seconds kTryAgainAfter{1};
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
  leave_ = leave;
  const std::optional<JobRecord> record = around_.board.Find(job_.name);
  if (!record) return;
  if (record->stopping) Stop();
  bool runs = TakeOver(*record);
  while (true) {
    if (!runs && !Begin()) return;
    const Verdict verdict = Supervise();
    if (verdict == Verdict::kLeft) return;
    if (verdict == Verdict::kEnded || stopping() || too_long_) return Finish();
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
bool JobRunner::Begin() {
  ranks_.KillStrays();
  const std::optional<JobRecord> record = around_.board.Find(job_.name);
  if (!record || record->starts >= kMaxStarts) {
    Fail(Failure("InternalError",
                 "the job's processes were lost " + std::to_string(kMaxStarts) + " times"));
    return false;
  }
  if (stopping()) return End("Stopped", "Stopped", "Training job stopped"), false;
  if (record->starts > 0) Move("Restarting", "Restarting the training job");
  failed_.reset();
  std::string command;
  if (Done done = Prepare(command); !done.ok()) return Fail(done.error()), false;
  if (leave_.stop_requested()) return false;
  if (stopping()) return End("Stopped", "Stopped", "Training job stopped"), false;
  if (Status status = ranks_.Start(command); !status.ok()) {
    return Fail(Failure(status.error())), false;
  }
  static_cast<void>(Change([](JobRecord& job) {
    ++job.starts;
    job.MoveTo("Training", "Training image download completed. Training in progress.");
    if (!job.started) job.started = job.modified;
  }));
  return true;
}

Done JobRunner::Prepare(std::string& command) {
  Move("Downloading", "Downloading input data");
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
  Done done = files_.Prepare([&] { return !leave_.stop_requested() && !stopping(); });
  if (!done.ok()) return done;
  Say(command.empty() ? "image " + job_.image + ": bertie's own trainer runs in its place"
                      : "image " + job_.image + ": runs " + command);
  if (job_.instance_type.starts_with("ml.p") || job_.instance_type.starts_with("ml.g")) {
    Say("instance type " + job_.instance_type + " has a GPU; here the CPU trains");
  }
  return done;
}

JobRunner::Verdict JobRunner::Supervise() {
  Watch watch;
  const auto begun = around_.board.Find(job_.name);
  while (true) {
    if (leave_.stop_requested()) return Verdict::kLeft;
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
  if (!stopping() && !too_long_ && !failed_) return;
  const Clock::time_point now = Clock::now();
  if (!watch.kill) {
    watch.kill = now + (failed_ && !stopping() && !too_long_ ? kFailureLimit : kJobStopLimit);
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
  if (failed_ && !stopping() && !too_long_) return FinishFailed();
  const int stops = stops_;
  Move("Uploading", "Uploading generated training model");
  Upload(stops);
}

// The URI of the model.
Outcome<std::string> JobRunner::UploadAll() {
  auto model = files_.UploadModel();
  Done rest = model.ok() ? files_.UploadOutput() : Done(model.error());
  if (rest.ok()) rest = files_.UploadCheckpoints(true);
  return rest.ok() ? model : Outcome<std::string>(rest.error());
}

void JobRunner::TellOfNoRoom(const std::string& why) {
  const std::string text =
      "Uploading generated training model, again and again until that works or the job is "
      "stopped (once more, where it was before): " +
      why;
  around_.log("training job " + job_.name + ": " + text);
  static_cast<void>(Change([&](JobRecord& job) {
    if (!job.transitions.empty()) job.transitions.back().message = text;
  }));
}

// stops: those before it, whose results are uploaded too.
void JobRunner::Upload(int stops) {
  bool told = false;
  auto model = UploadAll();
  while (!model.ok()) {
    const std::string why = model.error().message;
    if (std::string_view(model.error().code) != "InternalError") {
      return Fail(Failure("ClientError", "upload of the results failed: " + why));
    }
    if (!std::exchange(told, true)) TellOfNoRoom(why);
    if (stops_ != stops) {
      return Fail(Failure("InternalError", "upload of the results failed: " + why));
    }
    std::this_thread::sleep_for(kTryAgainAfter);
    if (leave_.stop_requested()) return;
    model = UploadAll();
  }
  static_cast<void>(Change([&](JobRecord& job) { job.artifacts = *model; }));
  if (too_long_) {
    End("Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds");
  } else if (stopping()) {
    End("Stopped", "Stopped", "Training job stopped");
  } else {
    End("Completed", "Completed", "Training job completed");
  }
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
  Close([&](JobRecord& job) {
    job.failure = text + tail;
    job.End("Failed", "Failed", "Training job failed");
  });
}

void JobRunner::Fail(const Failure& failure) {
  const bool ours = std::string_view(failure.code) == "InternalError";
  const std::string reason = (ours ? "InternalServerError: " : "ClientError: ") + failure.message;
  Say("the job failed: " + reason);
  Close([&](JobRecord& job) {
    job.failure = reason.substr(0, kMaxJobReason);
    job.End("Failed", "Failed", "Training job failed");
  });
}

void JobRunner::End(const std::string& status, const std::string& secondary,
                    const std::string& message) {
  Close([&](JobRecord& job) { job.End(status, secondary, message); });
}

// The job has ended. Its files go last: until that is on the disk, they are all that a next run of
// the cloud has to end it with.
void JobRunner::Close(const std::function<void(JobRecord&)>& change) {
  Done kept = Change(change);
  while (!kept.ok() && !leave_.stop_requested()) {
    std::this_thread::sleep_for(kTryAgainAfter);
    kept = around_.board.Change(job_.name, [](JobRecord&) -> Done { return std::monostate(); });
  }
  if (kept.ok()) files_.RemoveBases();
}

void JobRunner::Move(const std::string& secondary, const std::string& message) {
  static_cast<void>(Change([&](JobRecord& job) { job.MoveTo(secondary, message); }));
}

Done JobRunner::Change(const std::function<void(JobRecord&)>& change) {
  Done done = around_.board.Change(job_.name, [&](JobRecord& record) -> Done {
    change(record);
    return std::monostate();
  });
  if (!done.ok()) around_.log("training job " + job_.name + ": " + done.error().message);
  return done;
}

void JobRunner::Say(const std::string& line) {
  std::error_code ignored;
  std::filesystem::create_directories(files_.HostFolder(files_.hosts().front()), ignored);
  const Status status = AppendToLog(files_.Log(files_.hosts().front()), "bertie cloud: " + line);
  if (!status.ok()) around_.log("training job " + job_.name + ": " + status.error().message);
}

}  // namespace bertie::cloud
