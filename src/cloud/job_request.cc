#include "cloud/job_request.h"

#include <algorithm>
#include <set>

#include "cloud/json_member.h"

namespace bertie::cloud {
namespace {

constexpr int kJobInstances = 64;
constexpr int64_t kMaxRuntime = int64_t{28} * 24 * 3600;

S3Uri ReadUri(const Member& member) {
  const std::string text = member.Required().Text();
  const auto uri = S3Uri::Parse(text);
  if (member.there() && !uri) {
    member.Refuse("Member must satisfy regular expression pattern: ^(https|s3)://([^/]+)/?(.*)$");
  }
  return uri.value_or(S3Uri());
}

JobChannel ReadChannel(const Member& item, const std::string& input_mode) {
  JobChannel channel;
  channel.name = item["ChannelName"].Required().Text(64, "[A-Za-z0-9._-]+");
  if (channel.name == "." || channel.name == "..") {
    item["ChannelName"].Refuse("Member must be a name");
  }
  const Member s3 = item["DataSource"].Required()["S3DataSource"];
  if (!s3.there() && item["DataSource"].there()) {
    item["DataSource"].RefuseWith(
        "bertie cloud reads channels from S3 only: expected dataSource.s3DataSource");
  }
  channel.source = ReadUri(s3["S3Uri"]);
  const std::string type =
      s3["S3DataType"].Required().OneOf({"S3Prefix", "ManifestFile", "AugmentedManifestFile"});
  if (type == "AugmentedManifestFile") {
    s3["S3DataType"].RefuseWith("bertie cloud does not offer augmented manifests");
  }
  channel.manifest = type == "ManifestFile";
  channel.sharded =
      s3["S3DataDistributionType"].OneOf({"FullyReplicated", "ShardedByS3Key"}) == "ShardedByS3Key";
  const Member mode = item["InputMode"];
  channel.mode = mode.there() ? mode.OneOf({"File", "Pipe", "FastFile"}) : input_mode;
  if (channel.mode == "Pipe") {
    item["ChannelName"].RefuseWith("bertie cloud does not offer input mode Pipe (channel " +
                                   channel.name + "): use File");
  }
  channel.content_type = item["ContentType"].Text(256);
  return channel;
}

void ReadChannels(const Member& request, const std::string& input_mode, JobRequest& job) {
  std::set<std::string> names;
  for (const Member& item : request["InputDataConfig"].Items(1, 20)) {
    job.channels.push_back(ReadChannel(item, input_mode));
    if (!names.insert(job.channels.back().name).second) {
      item["ChannelName"].RefuseWith("channel names must be unique; found two of " +
                                     job.channels.back().name);
    }
  }
}

void ReadMetrics(const Member& algorithm, JobRequest& job) {
  for (const Member& item : algorithm["MetricDefinitions"].Items(0, 40)) {
    const std::string name = item["Name"].Required().Text(255, ".+");
    auto metric = MetricPattern::Compile(name, item["Regex"].Required().Text(500, ".+"));
    if (metric.ok()) {
      job.metrics.push_back(*std::move(metric));
    } else {
      item.RefuseWith(metric.error().message);
    }
  }
}

// The platform's instances of one kind; groups of several kinds are one group here.
void ReadResources(const Member& request, JobRequest& job) {
  const Member resources = request["ResourceConfig"].Required();
  if (resources["InstanceGroups"].there()) {
    resources["InstanceGroups"].RefuseWith(
        "bertie cloud does not offer instance groups: use "
        "instanceType and instanceCount");
  }
  job.instance_type = resources["InstanceType"].Required().Text(64, "ml\\.[a-z0-9.-]+");
  job.instances = static_cast<int>(resources["InstanceCount"].Required().Int(1, 10'000'000, 1));
  const Member stopping = request["StoppingCondition"];
  job.max_runtime_s = stopping["MaxRuntimeInSeconds"].Int(1, kMaxRuntime, 86400);
  const Member wait = stopping["MaxWaitTimeInSeconds"];
  const bool spot = request["EnableManagedSpotTraining"].Flag();
  if (wait.there() && !spot) {
    wait.RefuseWith("MaxWaitTimeInSeconds is for jobs with EnableManagedSpotTraining");
  }
  if (spot && wait.Required().Int(1, kMaxRuntime, 86400) < job.max_runtime_s) {
    wait.RefuseWith("MaxWaitTimeInSeconds must be at least MaxRuntimeInSeconds");
  }
}

void ReadOutput(const Member& request, JobRequest& job) {
  const Member output = request["OutputDataConfig"].Required();
  job.output = ReadUri(output["S3OutputPath"]);
  while (job.output.key.ends_with('/')) job.output.key.pop_back();
  job.compress = output["CompressionType"].OneOf({"GZIP", "NONE"}) == "GZIP";
  const Member checkpoints = request["CheckpointConfig"];
  if (!checkpoints.there()) return;
  job.checkpoints = JobCheckpoints{ReadUri(checkpoints["S3Uri"]), "/opt/ml/checkpoints"};
  while (job.checkpoints->target.key.ends_with('/')) job.checkpoints->target.key.pop_back();
  if (const Member path = checkpoints["LocalPath"]; path.there()) {
    job.checkpoints->local_path = path.Text(4096);
    if (job.checkpoints->local_path != "/opt/ml/checkpoints") {
      path.RefuseWith("bertie cloud keeps checkpoints in /opt/ml/checkpoints; found localPath " +
                      job.checkpoints->local_path);
    }
  }
}

}  // namespace

std::vector<std::string> JobRequest::Hosts() const {
  std::vector<std::string> hosts;
  for (int rank = 1; rank <= instances; ++rank) hosts.push_back("algo-" + std::to_string(rank));
  return hosts;
}

S3Uri JobRequest::Output(const std::string& file) const {
  return {output.bucket, (output.key.empty() ? "" : output.key + "/") + name + "/output/" + file};
}

Outcome<JobRequest> ParseJobRequest(const formats::Json& json) {
  std::optional<Failure> failure;
  const Member request(json, failure);
  JobRequest job;
  job.name = request["TrainingJobName"].Required().Text(63, kNamePattern);
  const Member algorithm = request["AlgorithmSpecification"].Required();
  job.image = algorithm["TrainingImage"].Required().Text(255);
  const std::string mode =
      algorithm["TrainingInputMode"].Required().OneOf({"File", "Pipe", "FastFile"});
  request["RoleArn"].Required().Text(2048, kRolePattern);
  ReadMetrics(algorithm, job);
  ReadChannels(request, mode, job);
  ReadOutput(request, job);
  ReadResources(request, job);
  job.hyperparameters = request["HyperParameters"].Texts(100, 256, 2500);
  job.environment = request["Environment"].Texts(100, 512, 512);
  for (const auto& [name, value] : job.environment) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != name.npos ||
        value.find('\0') != value.npos) {
      request["Environment"].Refuse("Member must hold names of variables and their values");
    }
  }
  if (failure) return *failure;
  if (job.instances > kJobInstances) {
    return Failure("ResourceLimitExceeded",
                   "a job's instances are processes of one machine here: at most " +
                       std::to_string(kJobInstances) + ", found " + std::to_string(job.instances));
  }
  return job;
}

}  // namespace bertie::cloud
