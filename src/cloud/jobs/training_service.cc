#include "cloud/jobs/training_service.h"

#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "cloud/folders.h"
#include "cloud/jobs/job_listing.h"
#include "cloud/request_reader.h"
#include "cloud/tags.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;
using formats::Json;

constexpr char kGroup[] = "/aws/sagemaker/TrainingJobs";
// Processes of all jobs together.
constexpr int kMaxRanks = 128;
constexpr size_t kMaxDamage = 768;

Outcome<std::string> NameIn(const Json& json) {
  RequestReader reader(json);
  std::string name = reader.Text("TrainingJobName", Presence::kRequired, NameRule());
  if (auto failure = reader.failure()) return *failure;
  return name;
}

}  // namespace

Result<std::unique_ptr<TrainingService>> TrainingService::Open(
    const Settings& settings, ObjectStore& store, State& state, fs::path folder,
    std::function<void(std::string_view)> log) {
  std::unique_ptr<TrainingService> service(new TrainingService(
      settings, store, state, std::filesystem::absolute(std::move(folder)), std::move(log)));
  auto board = JobBoard::Open(state);
  if (!board.ok()) return Error{ErrorCode::kIo, board.error().message};
  service->board_ = *std::move(board);
  service->metrics_ = std::make_unique<JobMetrics>(settings, *service->board_, service->folder_);
  service->ResumeAll();
  return service;
}

TrainingService::~TrainingService() {
  for (auto& [name, run] : runs_) run.thread.request_stop();
  for (auto& [name, run] : runs_) run.thread.join();
  int left = 0;
  for (const JobRecord& job : board_->All()) left += job.Ended() ? 0 : 1;
  if (left > 0) {
    log_(std::to_string(left) + (left == 1 ? " training job goes" : " training jobs go") +
         " on; the next start on this folder takes over");
  }
}

void TrainingService::ResumeAll() {
  std::set<fs::path> known;
  for (const JobRecord& record : board_->All()) {
    known.insert(folder_ / record.name);
    Resume(record);
  }
  for (const fs::path& folder : FoldersIn(folder_)) {
    if (known.contains(folder)) continue;
    JobRanks::EndBelow(folder);
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
}

void TrainingService::Resume(const JobRecord& record) {
  auto request = ParseRequest(record.body);
  auto job = request.ok() ? ParseJobRequest(*request) : request.error();
  if (!job.ok()) return SetAside(record, job.error().message);
  if (job->name != record.name) return SetAside(record, "it is the request of " + job->name);
  if (!record.Ended()) return Launch(*std::move(job));
  JobFiles(store_, *job, folder_ / record.name).RemoveBases();
}

// Nobody can go on with a job whose request is damaged. Its files may be the only copy, and stay
// until the job is deleted.
void TrainingService::SetAside(const JobRecord& record, const std::string& why) {
  JobRanks::EndBelow(folder_ / record.name);
  if (record.Ended()) return;
  const std::string reason = "what was kept of the job is damaged: " + why.substr(0, kMaxDamage) +
                             "; delete the job, and create it again";
  log_("training job " + record.name + ": " + reason);
  const Done done = board_->Change(record.name, [&](JobRecord& job) -> Done {
    job.request = Json::object();
    job.failure = "InternalServerError: " + reason;
    job.End("Failed", "Failed", "Training job failed");
    return std::monostate();
  });
  if (!done.ok()) log_("training job " + record.name + ": " + done.error().message);
}

void TrainingService::Launch(JobRequest job) {
  const std::string name = job.name;
  std::lock_guard lock(mutex_);
  Run& run = runs_[name];
  run.runner = std::make_unique<JobRunner>(
      JobSurroundings{settings_, store_, *board_, folder_, log_}, std::move(job));
  run.thread = std::jthread(
      [runner = run.runner.get()](const std::stop_token& leave) { runner->Run(leave); });
}

std::map<std::string, JsonService::Operation> TrainingService::Operations() {
  const auto plain = [&](auto method) {
    return ParsedOperation(
        [this, method](const Json& json, const std::string&) { return (this->*method)(json); });
  };
  return {{"CreateTrainingJob", ParsedOperation([this](const Json& json, const std::string& body) {
             return Create(json, body);
           })},
          {"DescribeTrainingJob", plain(&TrainingService::Describe)},
          {"ListTrainingJobs", plain(&TrainingService::List)},
          {"StopTrainingJob", plain(&TrainingService::Stop)},
          {"DeleteTrainingJob", plain(&TrainingService::Delete)}};
}

Outcome<Json> TrainingService::Create(const Json& request, const std::string& body) {
  auto job = ParseJobRequest(request);
  if (!job.ok()) return job.error();
  const std::string arn = settings_.Arn("training-job", job->name);
  JobRecord record{.name = job->name, .body = body, .request = request, .created = Now()};
  record.MoveTo("Starting", "Preparing the instances for training");
  bool repeated = false;
  const auto admit = [&](const std::map<std::string, JobRecord>& others) -> Done {
    if (const auto other = others.find(job->name); other != others.end()) {
      repeated = IsRepeat(other->second.body, other->second.created, body);
      return Failure("ResourceInUse",
                     "Training job names must be unique within an AWS account and region, and a "
                     "training job with this name already exists (" +
                         arn + ")");
    }
    int64_t ranks = job->instances;
    for (const auto& [name, other] : others) {
      if (!other.Ended()) ranks += InstancesIn(other.request);
    }
    if (ranks > kMaxRanks) {
      return Failure("ResourceLimitExceeded",
                     "at most " + std::to_string(kMaxRanks) +
                         " instances of training jobs run at once here; with this one they would "
                         "be " +
                         std::to_string(ranks));
    }
    return std::monostate();
  };
  const Done added = board_->Add(
      record, admit, [&](Database& database) { return AddTags(database, arn, job->tags); });
  if (!added.ok() && !repeated) return added.error();
  if (!repeated) Launch(*std::move(job));
  return Json{{"TrainingJobArn", arn}};
}

Outcome<Json> TrainingService::Describe(const Json& request) const {
  auto name = NameIn(request);
  if (!name.ok()) return name.error();
  const auto record = board_->Find(*name);
  if (!record) return NoSuchJob();
  return DescribeJob(*record, settings_);
}

Outcome<Json> TrainingService::List(const Json& request) const {
  return ListJobs(board_->All(), request, settings_);
}

Outcome<Json> TrainingService::Stop(const Json& request) {
  auto name = NameIn(request);
  if (!name.ok()) return name.error();
  bool taken = false;
  const Done done = board_->Change(*name, [&](JobRecord& record) -> Done {
    if (record.Ended()) {
      return Failure(
          "ValidationException",
          "The request was rejected because the training job is in status " + record.status + ".");
    }
    taken = true;
    if (record.stopping) return std::monostate();
    record.stopping = Now();
    record.status = "Stopping";
    record.MoveTo("Stopping", "Stopping the training job");
    return std::monostate();
  });
  // Also where a full disk does not take it down: somebody may be making room by it.
  std::lock_guard lock(mutex_);
  if (const auto run = runs_.find(*name); taken && run != runs_.end()) run->second.runner->Stop();
  if (!done.ok()) return done.error();
  return Json::object();
}

Outcome<Json> TrainingService::Delete(const Json& request) {
  auto name = NameIn(request);
  if (!name.ok()) return name.error();
  std::lock_guard one(deleting_);
  const auto record = board_->Find(*name);
  if (!record) return NoSuchJob();
  if (!record->Ended()) {
    return Failure(
        "ValidationException",
        "The request was rejected because the training job is in status " + record->status + ".");
  }
  Run run;
  {
    std::lock_guard lock(mutex_);
    if (auto node = runs_.extract(*name); !node.empty()) run = std::move(node.mapped());
  }
  run.thread = {};
  // Before the name is free for another job, which would have its files there.
  std::error_code ignored;
  fs::remove_all(folder_ / *name, ignored);
  const Done removed = board_->Remove(*name, [&](Database& database) {
    return DropTags(database, settings_.Arn("training-job", *name));
  });
  if (!removed.ok()) return removed.error();
  return Json::object();
}

std::vector<std::string> TrainingService::Groups() const { return {kGroup}; }

std::optional<std::vector<LogStream>> TrainingService::Streams(const std::string& group) const {
  if (group != kGroup) return std::nullopt;
  std::vector<LogStream> streams;
  for (const JobRecord& record : board_->All()) {
    for (const std::string& host : HostNames(InstancesIn(record.request))) {
      streams.push_back(
          {JobStream(record, host), folder_ / record.name / host / "log", record.created});
    }
  }
  return streams;
}

}  // namespace bertie::cloud
