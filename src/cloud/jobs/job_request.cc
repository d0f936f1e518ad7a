#include "cloud/jobs/job_request.h"

#include <set>

#include "base/quote.h"
#include "cloud/request_reader.h"
#include "cloud/s3/s3_members.h"

namespace bertie::cloud {
namespace {

using formats::Json;

constexpr int kJobInstances = 64;
constexpr int64_t kMaxRuntime = int64_t{28} * 24 * 3600;
constexpr char kCheckpoints[] = "/opt/ml/checkpoints";

const std::vector<std::string> kInputModes = {"File", "Pipe", "FastFile"};

void ReadSource(RequestReader& reader, JobChannel& channel) {
  channel.source = ReadS3Uri(reader, "S3Uri");
  const std::string type =
      reader.Text("S3DataType", Presence::kRequired,
                  {.one_of = {"S3Prefix", "ManifestFile", "AugmentedManifestFile"}});
  if (type == "AugmentedManifestFile") {
    reader.Fault("S3DataType", Quote(type), "bertie cloud does not offer augmented manifests");
  }
  channel.manifest = type == "ManifestFile";
  const std::string distribution = reader.Text("S3DataDistributionType", Presence::kOptional,
                                               {.one_of = {"FullyReplicated", "ShardedByS3Key"}});
  channel.sharded = distribution == "ShardedByS3Key";
}

JobChannel ReadChannel(RequestReader& reader, const std::string& input_mode) {
  JobChannel channel;
  channel.name = reader.Text("ChannelName", Presence::kRequired,
                             {.min = 1, .max = 64, .pattern = "[A-Za-z0-9._-]+"});
  if (channel.name == "." || channel.name == "..") {
    reader.Fault("ChannelName", Quote(channel.name), "Member must be a name");
  }
  if (const Json* source = reader.Object("DataSource", Presence::kRequired)) {
    RequestReader outer = reader.Inside("DataSource", *source);
    if (const Json* s3 = outer.Object("S3DataSource", Presence::kOptional)) {
      RequestReader inner = outer.Inside("S3DataSource", *s3);
      ReadSource(inner, channel);
    } else {
      outer.Fault("S3DataSource", "null", "bertie cloud reads channels from S3 only");
    }
  }
  channel.mode = reader.Text("InputMode", Presence::kOptional, {.one_of = kInputModes});
  if (channel.mode.empty()) channel.mode = input_mode;
  if (channel.mode == "Pipe") {
    reader.Fault("InputMode", "'Pipe'", "bertie cloud does not offer it: use File");
  }
  channel.content_type = reader.Text("ContentType", Presence::kOptional, {.max = 256});
  return channel;
}

void ReadChannels(RequestReader& request, const std::string& input_mode, JobRequest& job) {
  std::set<std::string> names;
  request.EachObject("InputDataConfig", Presence::kOptional, 1, 20, [&](RequestReader& item) {
    job.channels.push_back(ReadChannel(item, input_mode));
    const std::string& name = job.channels.back().name;
    if (!names.insert(name).second) {
      item.Fault("ChannelName", Quote(name), "names of channels must differ");
    }
  });
}

void ReadMetrics(RequestReader& algorithm, JobRequest& job) {
  algorithm.EachObject("MetricDefinitions", Presence::kOptional, 0, 40, [&](RequestReader& item) {
    const TextRule rule{.min = 1, .max = 255, .pattern = ".+"};
    const std::string name = item.Text("Name", Presence::kRequired, rule);
    const std::string regex =
        item.Text("Regex", Presence::kRequired, {.min = 1, .max = 500, .pattern = ".+"});
    auto metric = MetricPattern::Compile(name, regex);
    if (metric.ok()) {
      job.metrics.push_back(*std::move(metric));
    } else {
      item.Fault("Regex", Quote(regex), metric.error().message);
    }
  });
}

// Returns the input mode of channels that have none of their own.
std::string ReadAlgorithm(RequestReader& request, JobRequest& job) {
  const Json* object = request.Object("AlgorithmSpecification", Presence::kRequired);
  if (object == nullptr) return {};
  RequestReader reader = request.Inside("AlgorithmSpecification", *object);
  job.image = reader.Text("TrainingImage", Presence::kRequired, {.max = 255});
  ReadMetrics(reader, job);
  return reader.Text("TrainingInputMode", Presence::kRequired, {.one_of = kInputModes});
}

// The platform's instances of one kind; groups of several kinds are one group here.
void ReadResources(RequestReader& request, JobRequest& job) {
  const Json* object = request.Object("ResourceConfig", Presence::kRequired);
  if (object == nullptr) return;
  RequestReader reader = request.Inside("ResourceConfig", *object);
  if (reader.Has("InstanceGroups")) {
    reader.Fault("InstanceGroups", "given",
                 "bertie cloud does not offer instance groups: use instanceType and instanceCount");
  }
  job.instance_type =
      reader.Text("InstanceType", Presence::kRequired, {.max = 64, .pattern = "ml\\.[a-z0-9.-]+"});
  job.instances =
      static_cast<int>(reader.Integer("InstanceCount", Presence::kRequired, 1, 10'000'000, 1));
}

void ReadStopping(RequestReader& request, JobRequest& job) {
  const Json none = Json::object();
  const Json* object = request.Object("StoppingCondition", Presence::kOptional);
  RequestReader reader = request.Inside("StoppingCondition", object == nullptr ? none : *object);
  job.max_runtime_s =
      reader.Integer("MaxRuntimeInSeconds", Presence::kOptional, 1, kMaxRuntime, 86400);
  constexpr char kWait[] = "MaxWaitTimeInSeconds";
  const bool spot = request.Flag("EnableManagedSpotTraining");
  if (!spot && reader.Has(kWait)) {
    reader.Fault(kWait, "given", "Member is for jobs with EnableManagedSpotTraining");
  }
  if (spot &&
      reader.Integer(kWait, Presence::kRequired, 1, kMaxRuntime, kMaxRuntime) < job.max_runtime_s) {
    reader.Fault(kWait, "given", "Member must be at least maxRuntimeInSeconds");
  }
}

void ReadOutput(RequestReader& request, JobRequest& job) {
  const Json* object = request.Object("OutputDataConfig", Presence::kRequired);
  if (object == nullptr) return;
  RequestReader reader = request.Inside("OutputDataConfig", *object);
  job.output = ReadS3Folder(reader, "S3OutputPath");
  const std::string compression =
      reader.Text("CompressionType", Presence::kOptional, {.one_of = {"GZIP", "NONE"}});
  job.compress = compression != "NONE";
}

void ReadCheckpoints(RequestReader& request, JobRequest& job) {
  const Json* object = request.Object("CheckpointConfig", Presence::kOptional);
  if (object == nullptr) return;
  RequestReader reader = request.Inside("CheckpointConfig", *object);
  job.checkpoints = JobCheckpoints{ReadS3Folder(reader, "S3Uri"), kCheckpoints};
  const std::string path = reader.Text("LocalPath", Presence::kOptional, {.min = 1, .max = 4096});
  if (!path.empty() && path != kCheckpoints) {
    reader.Fault("LocalPath", Quote(path),
                 std::string("bertie cloud keeps checkpoints in ") + kCheckpoints);
  }
}

std::map<std::string, std::string> ReadMap(RequestReader& request, const char* member,
                                           const TextRule& key, const TextRule& value) {
  const auto pairs = request.Map(member, 100, key, value);
  return {pairs.begin(), pairs.end()};
}

void ReadEnvironment(RequestReader& request, JobRequest& job) {
  job.environment = ReadMap(request, "Environment", {.max = 512}, {.max = 512});
  for (const auto& [name, value] : job.environment) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != name.npos ||
        value.find('\0') != value.npos) {
      request.Fault("Environment", Quote(name),
                    "Member must hold names of variables and their values");
    }
  }
}

}  // namespace

std::vector<std::string> HostNames(int64_t instances) {
  std::vector<std::string> hosts;
  for (int64_t rank = 1; rank <= instances; ++rank) hosts.push_back("algo-" + std::to_string(rank));
  return hosts;
}

int64_t InstancesIn(const Json& request) {
  return CountIn(request, "ResourceConfig", "InstanceCount", kJobInstances);
}

S3Uri JobRequest::Output(const std::string& file) const {
  return {output.bucket, (output.key.empty() ? "" : output.key + "/") + name + "/output/" + file};
}

Outcome<JobRequest> ParseJobRequest(const formats::Json& json) {
  RequestReader request(json);
  JobRequest job;
  job.name = request.Text("TrainingJobName", Presence::kRequired, NameRule());
  const std::string mode = ReadAlgorithm(request, job);
  request.Text("RoleArn", Presence::kRequired, RoleArnRule());
  ReadChannels(request, mode, job);
  ReadOutput(request, job);
  ReadCheckpoints(request, job);
  ReadResources(request, job);
  ReadStopping(request, job);
  job.hyperparameters = ReadMap(request, "HyperParameters", {.max = 256}, {.max = 2500});
  ReadEnvironment(request, job);
  job.tags = request.Tags();
  if (auto failure = request.failure()) return *failure;
  if (job.instances > kJobInstances) {
    return Failure("ResourceLimitExceeded",
                   "a job's instances are processes of one machine here: at most " +
                       std::to_string(kJobInstances) + ", found " + std::to_string(job.instances));
  }
  return job;
}

}  // namespace bertie::cloud
