#include "cloud/transform/transform_runner.h"

#include <map>
#include <system_error>
#include <thread>
#include <utility>

#include "base/quote.h"
#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/folders.h"
#include "cloud/processes/stamped_log.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxTransformReason = 1024;
// The variant that a job's servers are.
constexpr char kVariant[] = "transform";
// Of objects on their way, in the job's folder.
constexpr char kScratch[] = "scratch";
// On a full disk.
constexpr std::chrono::seconds kWriteEndAgain{1};

}  // namespace

fs::path ServerLog(const fs::path& job_folder, int64_t instance) {
  return job_folder / kVariant / std::to_string(instance) / "serve" / "log";
}
fs::path DataLog(const fs::path& job_folder) { return job_folder / "data-log"; }

void RemoveAllButLogs(const fs::path& job_folder) {
  EndDeployment(job_folder);
  std::error_code ignored;
  for (const fs::path& folder : FoldersIn(job_folder / kVariant)) {
    fs::remove_all(folder / "tmp", ignored);
  }
  fs::remove_all(job_folder / kVariant / "data", ignored);
  fs::remove_all(job_folder / kScratch, ignored);
}

TransformRunner::TransformRunner(const TransformContext& context, TransformRequest job)
    : context_(context), job_(std::move(job)), folder_(context_.folder / job_.name) {}

void TransformRunner::Run(const std::stop_token& leave) {
  leave_ = leave;
  auto record = FindTransform(context_.state, job_.name);
  if (!record.ok()) return;
  if (record->status == "Stopping") stopping_ = true;
  const Done done = Work(*record);
  // Before the job is said to have ended, so that none is left of a job that has.
  if (servers_) {
    servers_->End();
  } else {
    EndDeployment(folder_);  // an earlier run's, which were not needed any more
  }
  if (leave_.stop_requested() && !stopping_) return;
  End(done);
}

// The failure is worded for FailureReason.
Done TransformRunner::Work(const TransformRecord& record) {
  std::error_code ignored;
  fs::create_directories(folder_, ignored);
  if (!GoOn()) return std::monostate();
  if (Done done = FindInputs(); !done.ok() || inputs_.empty()) return done;
  BERTIE_ASSIGN_OR_RETURN(const EndpointPlan plan, PlanFor(record));
  servers_ = std::make_unique<TransformServers>(
      TransformServers::Options{
          .job = job_,
          .pool = context_.pool,
          .deployment = {.label = "transform job " + job_.name,
                         .folder = folder_,
                         .log_file =
                             [folder = folder_](const std::string&, size_t number) {
                               return ServerLog(folder, static_cast<int64_t>(number));
                             },
                         .served_before = record.started != 0,
                         .log = context_.log,
                         .close_connections =
                             [&pool = context_.pool](uint16_t port) { pool.CloseIdle(port); }}},
      plan);
  Done started = servers_->Start(context_.store, true, [&] { return GoOn(); });
  if (!started.ok() || !GoOn()) return started;
  if (record.started == 0) {
    Done changed = ChangeTransform(context_.state, job_.name, [](TransformRecord& job) -> Done {
      job.started = Now();
      return std::monostate();
    });
    if (!changed.ok()) return changed;
  }
  Say("MaxConcurrentTransforms=" + std::to_string(job_.concurrent) +
      ", MaxPayloadInMB=" + std::to_string(job_.max_payload >> 20) +
      ", BatchStrategy=" + (job_.single_record ? "SINGLE_RECORD" : "MULTI_RECORD"));
  return Transform();
}

// Those whose outputs are not there yet.
Done TransformRunner::FindInputs() {
  const auto failed = [&](const std::string& why) {
    return Failure("ClientError", "Data download failed: " + why);
  };
  if (!context_.store.FindBucket(job_.output.bucket)) {
    return Failure("ClientError", "the output's bucket is not there: " + job_.output.Text());
  }
  auto files = job_.manifest ? FilesInManifest(context_.store, job_.input)
                             : FilesUnder(context_.store, job_.input);
  if (!files.ok()) return failed(job_.input.Text() + ": " + files.error().message);
  if (files->empty()) {
    return failed("No S3 objects found under S3 URL \"" + job_.input.Text() + "\"");
  }
  auto written = WrittenOutputs(context_.state, job_.name);
  if (!written.ok()) return written.error();
  std::map<std::string, std::string> keys;  // by their outputs'
  for (ObjectFile& file : *files) {
    const S3Uri output = job_.output.Inside(file.path + ".out");
    const auto [other, first] = keys.emplace(output.key, file.key);
    if (!first && other->second == file.key) continue;  // a manifest has it twice
    if (!first) {
      return failed("the keys " + Quote(other->second) + " and " + Quote(file.key) +
                    " would both have the output " + output.Text());
    }
    if (!written->contains(output.key)) inputs_.push_back({std::move(file), output});
  }
  return std::monostate();
}

Result<EndpointPlan> TransformRunner::PlanFor(const TransformRecord& record) const {
  BERTIE_ASSIGN_OR_RETURN(EndpointPlan plan, ParsePlan(record.deployment));
  VariantPlan& variant = plan.variants.front();
  AllowLargeRequests(variant, job_.time_limit);
  auto& environment = variant.container.environment;
  environment.insert(environment.end(), job_.environment.begin(), job_.environment.end());
  environment.emplace_back("SAGEMAKER_BATCH", "true");
  environment.emplace_back("SAGEMAKER_BATCH_STRATEGY",
                           job_.single_record ? "SINGLE_RECORD" : "MULTI_RECORD");
  environment.emplace_back("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", std::to_string(job_.concurrent));
  return plan;
}

Done TransformRunner::Transform() {
  while (GoOn()) {
    Fill();
    if (tasks_.empty() && open_ == inputs_.size()) break;
    for (const auto& task : tasks_) {
      if (!inputs_[task->object].failed) servers_->Ask(task);
    }
    servers_->Wait();
    UseAnswers();
    if (auto failure = servers_->failure()) return Failure("", *failure);
  }
  if (first_fault_.empty()) return std::monostate();
  return Failure("ClientError", "See job logs for more information: " + first_fault_);
}

// Some more than the servers have places for, so that none of them waits for the slowest.
void TransformRunner::Fill() {
  const size_t most = static_cast<size_t>(2 * PlacesFor(job_) * job_.instances);
  while (tasks_.size() < most && open_ < inputs_.size()) {
    auto request = NextRequest();
    if (!request) {
      inputs_[open_].all_asked = true;
      const bool none = tasks_.empty() || tasks_.back()->object != open_;
      if (none) FinishInput(inputs_[open_]);
      requests_.reset();
      ++open_;
      continue;
    }
    auto task = std::make_shared<TransformTask>();
    task->object = open_;
    task->request = *std::move(request);
    tasks_.push_back(std::move(task));
  }
}

// nullopt: there is none more of the open input.
std::optional<ObjectRequest> TransformRunner::NextRequest() {
  Input& input = inputs_[open_];
  if (input.failed) return std::nullopt;
  if (!requests_) {
    input.answers = std::make_unique<ObjectAnswers>(context_.store, job_);
    auto opened = ObjectRequests::Open(context_.store, input.file, job_, folder_ / kScratch);
    if (!opened.ok()) {
      FailInput(input, opened.error().message);
      return std::nullopt;
    }
    requests_ = *std::move(opened);
  }
  auto request = requests_->Next();
  if (request.ok()) return *std::move(request);
  FailInput(input, request.error().message);
  return std::nullopt;
}

void TransformRunner::UseAnswers() {
  using TaskState = TransformTask::State;
  for (const auto& task : tasks_) servers_->Settle(*task);
  while (!tasks_.empty()) {
    TransformTask& task = *tasks_.front();
    Input& input = inputs_[task.object];
    // Of an input that has failed nothing more is asked.
    const bool unwanted = input.failed && task.state == TaskState::kWaiting;
    if (!unwanted && task.state != TaskState::kGood && task.state != TaskState::kBad) return;
    if (!input.failed) Use(task);
    const size_t object = task.object;
    tasks_.pop_front();
    const bool last = tasks_.empty() || tasks_.front()->object != object;
    if (last && input.all_asked) FinishInput(input);
  }
}

void TransformRunner::Use(TransformTask& task) {
  Input& input = inputs_[task.object];
  const std::string place = "record " + std::to_string(task.request.first_record) + ": ";
  if (task.state == TransformTask::State::kBad) return FailInput(input, place + task.fault);
  const http::ClientAnswer& answer = task.answer->value();
  const std::string* type = answer.Find("Content-Type");
  const Done done = input.answers->Add(task.request, answer.body, type == nullptr ? "" : *type);
  if (!done.ok()) FailInput(input, place + done.error().message);
}

void TransformRunner::FinishInput(Input& input) {
  if (!input.failed) {
    const Done done = input.answers->Finish(input.output, [&](Database& database) {
      return MarkOutput(database, job_.name, input.output.key);
    });
    if (!done.ok()) FailInput(input, input.output.Text() + ": " + done.error().message);
  }
  input.answers.reset();
}

void TransformRunner::FailInput(Input& input, const std::string& why) {
  input.failed = true;
  const std::string text = "s3://" + input.file.bucket + "/" + input.file.key + ": " + why;
  Say(text);
  if (first_fault_.empty()) first_fault_ = text;
}

void TransformRunner::End(const Done& done) {
  std::string reason;
  if (!done.ok()) {
    const std::string code = done.error().code;
    reason = code.empty() ? "" : code == "InternalError" ? "InternalServerError: " : code + ": ";
    reason += done.error().message;
    Say("the job failed: " + reason);
  }
  Done kept = WriteEnd(done, reason);
  if (!kept.ok()) context_.log("transform job " + job_.name + ": " + kept.error().message);
  while (!kept.ok()) {
    std::this_thread::sleep_for(kWriteEndAgain);
    if (leave_.stop_requested()) return;
    kept = WriteEnd(done, reason);
  }
  RemoveAllButLogs(folder_);
}

Done TransformRunner::WriteEnd(const Done& done, const std::string& reason) {
  return ChangeTransform(context_.state, job_.name, [&](TransformRecord& job) -> Done {
    const bool stopped = job.status == "Stopping";
    job.status = stopped ? "Stopped" : done.ok() ? "Completed" : "Failed";
    if (!stopped) job.failure = reason.substr(0, kMaxTransformReason);
    job.ended = Now();
    return std::monostate();
  });
}

void TransformRunner::Say(const std::string& line) const {
  const Status status = AppendToLog(DataLog(folder_), line);
  if (!status.ok()) context_.log("transform job " + job_.name + ": " + status.error().message);
}

}  // namespace bertie::cloud
