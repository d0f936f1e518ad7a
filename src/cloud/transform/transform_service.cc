#include "cloud/transform/transform_service.h"

#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "base/quote.h"
#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/endpoints/endpoint_request.h"
#include "cloud/folders.h"
#include "cloud/paging.h"
#include "cloud/request_reader.h"
#include "cloud/tags.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;
using formats::Json;

constexpr char kTransformGroup[] = "/aws/sagemaker/TransformJobs";
// Processes of all jobs together.
constexpr int64_t kMaxServers = 64;
constexpr uint64_t kMaxAnswer = uint64_t{1} << 30;
constexpr size_t kShownDamage = 768;

Outcome<std::string> JobNameIn(const Json& json) {
  RequestReader reader(json);
  std::string name = reader.Text("TransformJobName", Presence::kRequired, NameRule());
  if (auto failure = reader.failure()) return *failure;
  return name;
}

// What the job's servers are made from: as an endpoint's configuration would have it.
Json ConfigOf(const TransformRequest& job) {
  return {{"EndpointConfigName", job.name},
          {"ProductionVariants", Json::array({{{"VariantName", "transform"},
                                               {"ModelName", job.model},
                                               {"InstanceType", job.instance_type},
                                               {"InitialInstanceCount", job.instances}}})}};
}

Done Admit(const std::vector<TransformRecord>& others, const TransformRequest& job) {
  int64_t servers = job.instances;
  for (const TransformRecord& other : others) {
    auto request = other.Ended() ? Json::object() : ParseRequest(other.request);
    if (request.ok()) servers += TransformInstancesIn(*request);
  }
  if (servers <= kMaxServers) return std::monostate();
  return Failure("ResourceLimitExceeded", "at most " + std::to_string(kMaxServers) +
                                              " instances of transform jobs run at once here; "
                                              "with this one they would be " +
                                              std::to_string(servers));
}

}  // namespace

TransformService::TransformService(const Settings& settings, ObjectStore& store, State& state,
                                   const fs::path& folder,
                                   std::function<void(std::string_view)> log)
    : settings_(settings),
      state_(state),
      pool_({.limits = {.max_body_bytes = kMaxAnswer}}),
      context_{state, store, pool_, fs::absolute(folder), std::move(log)} {}

Outcome<std::unique_ptr<TransformService>> TransformService::Open(
    const Settings& settings, ObjectStore& store, State& state, const fs::path& folder,
    std::function<void(std::string_view)> log) {
  std::unique_ptr<TransformService> service(
      new TransformService(settings, store, state, folder, std::move(log)));
  if (Done done = service->ResumeAll(); !done.ok()) return done.error();
  return service;
}

TransformService::~TransformService() {
  for (auto& [name, run] : runs_) run.thread.request_stop();
}

Done TransformService::ResumeAll() {
  auto records = AllTransforms(state_);
  if (!records.ok()) return records.error();
  std::set<fs::path> known;
  for (const TransformRecord& record : *records) {
    known.insert(context_.folder / record.name);
    Resume(record);
  }
  for (const fs::path& folder : FoldersIn(context_.folder)) {
    if (!known.contains(folder)) RemoveDeployment(folder);
  }
  return std::monostate();
}

void TransformService::Resume(const TransformRecord& record) {
  if (record.Ended()) return RemoveAllButLogs(context_.folder / record.name);
  auto request = ParseRequest(record.request);
  auto job = request.ok() ? ParseTransformRequest(*request) : request.error();
  if (!job.ok()) return SetAside(record, job.error().message);
  if (job->name != record.name) return SetAside(record, "it is the request of " + job->name);
  context_.log("transform job " + record.name + ": goes on");
  Launch(*std::move(job));
}

// Nobody can go on with a job whose request is damaged.
void TransformService::SetAside(const TransformRecord& record, const std::string& why) {
  RemoveAllButLogs(context_.folder / record.name);
  const std::string reason = "what was kept of the job is damaged: " + why.substr(0, kShownDamage) +
                             "; create it again under another name";
  context_.log("transform job " + record.name + ": " + reason);
  const Done done = ChangeTransform(context_.state, record.name, [&](TransformRecord& job) -> Done {
    job.status = "Failed";
    job.failure = "InternalServerError: " + reason;
    job.ended = Now();
    return std::monostate();
  });
  if (!done.ok()) context_.log("transform job " + record.name + ": " + done.error().message);
}

void TransformService::Launch(TransformRequest job) {
  const std::string name = job.name;
  std::lock_guard lock(mutex_);
  Run& run = runs_[name];
  run.runner = std::make_unique<TransformRunner>(context_, std::move(job));
  run.thread = std::jthread(
      [runner = run.runner.get()](const std::stop_token& leave) { runner->Run(leave); });
}

JsonService::Operations TransformService::Operations() {
  const auto plain = [this](auto method) {
    return ParsedOperation(
        [this, method](const Json& json, const std::string&) { return (this->*method)(json); });
  };
  return {{"CreateTransformJob", ParsedOperation([this](const Json& json, const std::string& body) {
             return Create(json, body);
           })},
          {"DescribeTransformJob", plain(&TransformService::Describe)},
          {"ListTransformJobs", plain(&TransformService::List)},
          {"StopTransformJob", plain(&TransformService::Stop)}};
}

Outcome<Json> TransformService::Create(const Json& request, const std::string& body) {
  auto job = ParseTransformRequest(request);
  if (!job.ok()) return job.error();
  auto deployment = MakeDeployment(settings_, state_, ConfigOf(*job));
  if (!deployment.ok()) return deployment.error();
  BERTIE_ASSIGN_OR_RETURN(const EndpointPlan plan, PlanOf(*deployment));
  if (plan.variants.front().container.multi_model) {
    return Failure("ValidationException",
                   "Model " + Quote(job->model) + " has the mode MultiModel; a job has one model");
  }
  const std::string name = job->name;
  const Milliseconds now = Now();
  bool repeated = false;
  const auto admit = [&](const std::vector<TransformRecord>& others) -> Done {
    for (const TransformRecord& other : others) {
      if (other.name != name) continue;
      repeated = IsRepeat(other.request, other.created, body);
      return Failure("ResourceInUse",
                     "Transform job names must be unique within an AWS account and region, and a "
                     "transform job with this name already exists (" +
                         Arn(name) + ")");
    }
    return Admit(others, *job);
  };
  const auto tag = [&](Database& database) { return AddTags(database, Arn(name), job->tags); };
  const Done added = AddTransform(state_,
                                  {.name = name,
                                   .created = now,
                                   .modified = now,
                                   .request = body,
                                   .deployment = formats::DumpJson(*deployment)},
                                  admit, tag);
  if (!added.ok() && !repeated) return added.error();
  if (!repeated) Launch(*std::move(job));
  return Json{{"TransformJobArn", Arn(name)}};
}

Json TransformService::Summary(const TransformRecord& record) const {
  Json summary{{"TransformJobName", record.name},
               {"TransformJobArn", Arn(record.name)},
               {"CreationTime", JsonTime(record.created)},
               {"TransformJobStatus", record.status}};
  if (record.ended != 0) summary["TransformEndTime"] = JsonTime(record.ended);
  if (!record.failure.empty()) summary["FailureReason"] = record.failure;
  return summary;
}

Outcome<Json> TransformService::Describe(const Json& request) const {
  auto name = JobNameIn(request);
  if (!name.ok()) return name.error();
  auto record = FindTransform(state_, *name);
  if (!record.ok()) return record.error();
  auto kept = ParseRequest(record->request);
  Json answer = kept.ok() ? *std::move(kept) : Json::object();
  answer.erase("Tags");
  answer.update(Summary(*record));
  if (record->started != 0) answer["TransformStartTime"] = JsonTime(record->started);
  return answer;
}

Outcome<Json> TransformService::List(const Json& request) const {
  auto records = AllTransforms(state_);
  if (!records.ok()) return records.error();
  std::vector<Listed> items;
  std::map<std::string, const TransformRecord*> by_name;
  for (const TransformRecord& record : *records) {
    items.push_back({record.name, record.created, record.modified, record.status});
    by_name[record.name] = &record;
  }
  auto page =
      SelectPage(request, std::move(items),
                 {.statuses = {"InProgress", "Completed", "Failed", "Stopping", "Stopped"}});
  if (!page.ok()) return page.error();
  Json answer{{"TransformJobSummaries", Json::array()}};
  for (const Listed& item : page->items) {
    Json summary = Summary(*by_name[item.name]);
    summary["LastModifiedTime"] = JsonTime(item.modified);
    answer["TransformJobSummaries"].push_back(std::move(summary));
  }
  if (!page->next_token.empty()) answer["NextToken"] = page->next_token;
  return answer;
}

Outcome<Json> TransformService::Stop(const Json& request) {
  auto name = JobNameIn(request);
  if (!name.ok()) return name.error();
  const Done done = ChangeTransform(state_, *name, [](TransformRecord& record) -> Done {
    if (record.Ended()) {
      return Failure(
          "ValidationException",
          "The request was rejected because the transform job is in status " + record.status + ".");
    }
    record.status = "Stopping";
    return std::monostate();
  });
  if (!done.ok()) return done.error();
  std::lock_guard lock(mutex_);
  if (const auto run = runs_.find(*name); run != runs_.end()) run->second.runner->Stop();
  return Json::object();
}

std::vector<std::string> TransformService::Groups() const { return {kTransformGroup}; }

std::optional<std::vector<LogStream>> TransformService::Streams(const std::string& group) const {
  if (group != kTransformGroup) return std::nullopt;
  std::vector<LogStream> streams;
  auto records = AllTransforms(state_);
  if (!records.ok()) return streams;
  for (const TransformRecord& record : *records) {
    const fs::path folder = context_.folder / record.name;
    const std::string prefix = record.name + "/i-" + IdOf(record.deployment);
    auto request = ParseRequest(record.request);
    const int64_t instances = request.ok() ? TransformInstancesIn(*request) : 0;
    for (int64_t n = 0; n < instances; ++n) {
      const std::string number = std::to_string(n);
      const std::string instance = prefix + std::string(5 - number.size(), '0') + number;
      streams.push_back({instance, ServerLog(folder, n), record.created});
      if (n == 0) streams.push_back({instance + "/data-log", DataLog(folder), record.created});
    }
  }
  return streams;
}

}  // namespace bertie::cloud
