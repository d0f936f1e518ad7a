#include "cloud/jobs/job_environment.h"

#include <algorithm>
#include <cctype>
#include <thread>
#include <utility>

#include "base/directory.h"
#include "base/file.h"
#include "cloud/client_variables.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;
using formats::Json;

constexpr char kPlatform[] = "sagemaker_";

// JSON where it is JSON, else the text itself.
Json Decode(const std::string& text) {
  auto value = formats::ParseJson(text, "hyperparameter");
  return value.ok() ? *std::move(value) : Json(text);
}

// As the toolkit writes variables: text as it is, null as nothing, else one line of JSON in ASCII.
std::string Encode(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return {};
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::map<std::string, Json> UserParameters(const JobRequest& job) {
  std::map<std::string, Json> parameters;
  for (const auto& [name, text] : job.hyperparameters) {
    if (!name.starts_with(kPlatform)) parameters[name] = Decode(text);
  }
  return parameters;
}

std::string Upper(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

Json ResourceConfig(const JobRequest& job, const JobHost& host) {
  std::vector<std::string> hosts = HostNames(job.instances);
  std::sort(hosts.begin(), hosts.end());
  return {{"current_host", host.name},
          {"current_instance_type", job.instance_type},
          {"current_group_name", "homogeneousCluster"},
          {"hosts", hosts},
          {"instance_groups", Json::array({{{"instance_group_name", "homogeneousCluster"},
                                            {"instance_type", job.instance_type},
                                            {"hosts", hosts}}})},
          {"network_interface_name", "lo"}};
}

Json InputDataConfig(const JobRequest& job) {
  Json channels = Json::object();
  for (const JobChannel& channel : job.channels) {
    Json one{{"TrainingInputMode", "File"},
             {"S3DistributionType", channel.sharded ? "ShardedByS3Key" : "FullyReplicated"},
             {"RecordWrapperType", "None"}};
    if (!channel.content_type.empty()) one["ContentType"] = channel.content_type;
    channels[channel.name] = std::move(one);
  }
  return channels;
}

std::string ArgumentOf(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (!value.is_object()) return Encode(value);
  std::string pairs;
  for (const auto& [key, one] : value.items()) {
    pairs += (pairs.empty() ? "" : ",") + key + "=" + Encode(one);
  }
  return pairs;
}

}  // namespace

std::string PlatformParameter(const JobRequest& job, const std::string& name) {
  const auto found = job.hyperparameters.find(kPlatform + name);
  return found == job.hyperparameters.end() ? std::string() : Encode(Decode(found->second));
}

Status WriteJobConfig(const JobRequest& job, const JobHost& host) {
  const fs::path config = host.base / "input" / "config";
  BERTIE_RETURN_IF_ERROR(MakeFolders(config));
  BERTIE_RETURN_IF_ERROR(WriteFileAtomically(config / "hyperparameters.json",
                                             formats::DumpJson(Json(job.hyperparameters))));
  BERTIE_RETURN_IF_ERROR(WriteFileAtomically(config / "resourceconfig.json",
                                             formats::DumpJson(ResourceConfig(job, host))));
  return WriteFileAtomically(config / "inputdataconfig.json",
                             formats::DumpJson(InputDataConfig(job)));
}

Variables JobVariables(const JobRequest& job, const Settings& settings, const JobHost& host,
                       const JobMeeting& meeting) {
  Variables variables;
  // Whoever started the cloud may be a rank of something himself.
  for (const char* name :
       {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "SLURM_PROCID",
        "SLURM_NTASKS", "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RUN_ID", "SM_MODEL_DIR",
        "SM_OUTPUT_DATA_DIR", "SM_HPS", "SM_CHANNELS", "GLOO_SOCKET_IFNAME"}) {
    variables.emplace_back(name, std::nullopt);
  }
  variables.emplace_back("SAGEMAKER_BASE_DIR", host.base.string());
  variables.emplace_back("TRAINING_JOB_NAME", job.name);
  variables.emplace_back("TRAINING_JOB_ARN", settings.Arn("training-job", job.name));
  variables.emplace_back("CURRENT_HOST", host.name);
  for (const char* name :
       {"program", "submit_directory", "region", "job_name", "container_log_level"}) {
    if (const std::string value = PlatformParameter(job, name); !value.empty()) {
      variables.emplace_back("SAGEMAKER_" + Upper(name), value);
    }
  }
  // A program that asks for S3 gets this cloud's.
  for (auto& variable : ClientVariables(settings)) variables.push_back(std::move(variable));
  variables.emplace_back("MASTER_ADDR", "127.0.0.1");
  variables.emplace_back("MASTER_PORT", std::to_string(meeting.port));
  variables.emplace_back("RANK", std::to_string(host.rank));
  variables.emplace_back("WORLD_SIZE", std::to_string(job.instances));
  variables.emplace_back("LOCAL_RANK", std::to_string(host.rank));
  variables.emplace_back("LOCAL_WORLD_SIZE", std::to_string(job.instances));
  variables.emplace_back("BERTIE_RANK_TOKEN", meeting.token);
  for (const auto& [name, value] : job.environment) variables.emplace_back(name, value);
  return variables;
}

Variables ToolkitVariables(const JobRequest& job, const JobHost& host) {
  const Json resources = ResourceConfig(job, host);
  const Json inputs = InputDataConfig(job);
  const std::string base = host.base.string();
  const std::string program = PlatformParameter(job, "program");
  const std::string source = PlatformParameter(job, "submit_directory");
  const std::map<std::string, Json> parameters = UserParameters(job);
  Json framework = Json::object();
  for (const auto& [name, text] : job.hyperparameters) {
    if (name.starts_with(kPlatform)) framework[name] = Decode(text);
  }
  Json all{
      {"hosts", resources["hosts"]},
      {"current_host", host.name},
      {"current_instance_type", job.instance_type},
      {"current_instance_group", "homogeneousCluster"},
      {"current_instance_group_hosts", resources["hosts"]},
      {"instance_groups", Json::array({"homogeneousCluster"})},
      {"distribution_instance_groups", Json::array()},
      {"is_hetero", false},
      {"num_gpus", 0},
      {"num_cpus", std::max(1U, std::thread::hardware_concurrency())},
      {"num_neurons", 0},
      {"model_dir", base + "/model"},
      {"output_dir", base + "/output"},
      {"output_data_dir", base + "/output/data"},
      {"output_intermediate_dir", base + "/output/intermediate"},
      {"input_dir", base + "/input"},
      {"input_config_dir", base + "/input/config"},
      {"resource_config", resources},
      {"input_data_config", inputs},
      {"network_interface_name", "lo"},
      {"log_level", 20},
      {"framework_module", nullptr},
      {"user_entry_point", program},
      {"module_name", program.ends_with(".py") ? program.substr(0, program.size() - 3) : program},
      {"module_dir", source},
      {"job_name", job.name}};
  Variables variables;
  for (const auto& [name, value] : all.items()) {
    if (name != "job_name") variables.emplace_back("SM_" + Upper(name), Encode(value));
  }
  Json channels = Json::array(), channel_folders = Json::object();
  for (const auto& [name, ignored] : inputs.items()) {
    const std::string folder = base + "/input/data/" + name;
    channels.push_back(name);
    channel_folders[name] = folder;
    variables.emplace_back("SM_CHANNEL_" + Upper(name), folder);
  }
  for (const auto& [name, value] : parameters) {
    variables.emplace_back("SM_HP_" + Upper(name), Encode(value));
  }
  variables.emplace_back("SM_CHANNELS", Encode(channels));
  variables.emplace_back("SM_HPS", Encode(Json(parameters)));
  variables.emplace_back("SM_FRAMEWORK_PARAMS", Encode(framework));
  variables.emplace_back("SM_USER_ARGS", Encode(Json(ToolkitArguments(job))));
  all["channel_input_dirs"] = channel_folders;
  all["hyperparameters"] = parameters;
  all["additional_framework_parameters"] = framework;
  variables.emplace_back("SM_TRAINING_ENV", Encode(all));
  return variables;
}

std::vector<std::string> ToolkitArguments(const JobRequest& job) {
  std::vector<std::string> arguments;
  for (const auto& [name, value] : UserParameters(job)) {
    arguments.push_back((name.size() == 1 ? "-" : "--") + name);
    arguments.push_back(ArgumentOf(value));
  }
  return arguments;
}

}  // namespace bertie::cloud
