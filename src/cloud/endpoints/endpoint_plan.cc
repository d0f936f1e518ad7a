#include "cloud/endpoints/endpoint_plan.h"

#include <algorithm>
#include <set>

#include "base/quote.h"
#include "cloud/endpoints/model_data.h"
#include "cloud/s3/s3_members.h"

namespace bertie::cloud {
namespace {

using formats::Json;

const std::vector<std::string> kAcceleratorTypes = {"ml.eia1.medium", "ml.eia1.large",
                                                    "ml.eia1.xlarge", "ml.eia2.medium",
                                                    "ml.eia2.large",  "ml.eia2.xlarge"};

constexpr int64_t kVariantInstances = 64;  // of one variant
constexpr int64_t kMaxConcurrent = 1000;
constexpr std::chrono::seconds kLongestInvocation{3600};
constexpr char kNotOffered[] = "Member must be absent: bertie cloud does not offer ";

void Refuse(RequestReader& reader, const char* member, const std::string& what) {
  reader.Fault(member, "given", kNotOffered + what);
}

// ModelDataSource: the newer form of ModelDataUrl.
void ReadDataSource(RequestReader& container, const Json& source, ContainerPlan& plan) {
  RequestReader outer = container.Inside("ModelDataSource", source);
  const Json* s3 = outer.Object("S3DataSource", Presence::kRequired);
  if (s3 == nullptr) return;
  RequestReader reader = outer.Inside("S3DataSource", *s3);
  plan.data_url =
      reader.Text("S3Uri", Presence::kRequired, {.pattern = "(https|s3)://([^/]+)/?(.*)"});
  const std::string type =
      reader.Text("S3DataType", Presence::kRequired, {.one_of = {"S3Prefix", "S3Object"}});
  const std::string compression =
      reader.Text("CompressionType", Presence::kRequired, {.one_of = {"None", "Gzip"}});
  plan.data_folder = type == "S3Prefix";
  if (plan.data_folder != (compression == "None")) {
    reader.Fault("CompressionType", "'" + compression + "'",
                 "Member must be None for an S3Prefix, Gzip for an S3Object");
  }
}

ContainerPlan ReadOneContainer(RequestReader reader) {
  ContainerPlan plan;
  plan.image = reader.Text("Image", Presence::kRequired, {.max = 255, .pattern = "\\S+"});
  plan.data_url =
      reader.Text("ModelDataUrl", Presence::kOptional, {.pattern = "(https|s3)://([^/]+)/?(.*)"});
  if (const Json* source = reader.Object("ModelDataSource", Presence::kOptional)) {
    if (!plan.data_url.empty()) {
      reader.Fault("ModelDataSource", "given", "Member must be absent beside ModelDataUrl");
    }
    ReadDataSource(reader, *source, plan);
  }
  plan.environment =
      reader.Map("Environment", 100, {.max = 1024, .pattern = "[a-zA-Z_][a-zA-Z0-9_]*"}, {});
  const std::string mode =
      reader.Text("Mode", Presence::kOptional, {.one_of = {"SingleModel", "MultiModel"}});
  plan.multi_model = mode == "MultiModel";
  if (plan.multi_model && !ParseS3Url(plan.data_url)) {
    reader.Fault("ModelDataUrl", Quote(plan.data_url),
                 "Member must be s3://BUCKET/PREFIX of the models of a MultiModel container");
  }
  if (const Json* config = reader.Object("MultiModelConfig", Presence::kOptional)) {
    RequestReader inside = reader.Inside("MultiModelConfig", *config);
    const std::string setting =
        inside.Text("ModelCacheSetting", Presence::kOptional, {.one_of = {"Enabled", "Disabled"}});
    if (setting == "Disabled") Refuse(inside, "ModelCacheSetting", "models that are not kept");
  }
  return plan;
}

void ReadServerless(RequestReader& reader, VariantPlan& plan) {
  const Json* serverless = reader.Object("ServerlessConfig", Presence::kOptional);
  if (serverless == nullptr) {
    reader.Text("InstanceType", Presence::kRequired, {.max = 64, .pattern = "ml\\..+"});
    plan.count =
        reader.Integer("InitialInstanceCount", Presence::kRequired, 1, kVariantInstances, 1);
    return;
  }
  RequestReader inside = reader.Inside("ServerlessConfig", *serverless);
  inside.Integer("MemorySizeInMB", Presence::kRequired, 1024, 6144);
  inside.Integer("MaxConcurrency", Presence::kRequired, 1, 200);
}

VariantPlan ReadVariant(RequestReader& reader) {
  VariantPlan plan;
  plan.name = reader.Text("VariantName", Presence::kRequired, NameRule());
  plan.model = reader.Text("ModelName", Presence::kRequired, ModelNameRule());
  ReadServerless(reader, plan);
  plan.weight = reader.Number("InitialVariantWeight", 0, 1);
  plan.accelerator_type =
      reader.Text("AcceleratorType", Presence::kOptional, {.one_of = kAcceleratorTypes});
  plan.volume_gb = reader.Integer("VolumeSizeInGB", Presence::kOptional, 1, 512, plan.volume_gb);
  reader.Integer("ModelDataDownloadTimeoutInSeconds", Presence::kOptional, 60, 3600);
  plan.startup_limit = std::chrono::seconds(reader.Integer(
      "ContainerStartupHealthCheckTimeoutInSeconds", Presence::kOptional, 60, 3600, 480));
  if (const Json* routing = reader.Object("RoutingConfig", Presence::kOptional)) {
    const std::string strategy = reader.Inside("RoutingConfig", *routing)
                                     .Text("RoutingStrategy", Presence::kRequired,
                                           {.one_of = {"LEAST_OUTSTANDING_REQUESTS", "RANDOM"}});
    if (strategy == "RANDOM") plan.routing = Routing::kRandom;
  }
  return plan;
}

Error Damaged(const std::string& why) {
  return {ErrorCode::kInvalidData, "what was kept of the deployment is damaged: " + why};
}

void ReadConfig(RequestReader config, EndpointPlan& plan) {
  plan.config = config.Text("EndpointConfigName", Presence::kRequired);
  plan.variants = ReadVariants(config);
  plan.async = ReadAsync(config);
}

// The memory of a server's models, where the model's Environment says.
void BoundModels(VariantPlan& variant) {
  for (const auto& [name, value] : variant.container.environment) {
    if (name == "BERTIE_MAX_MODELS_MB") variant.serve_flags = {"--max-models-mb", value};
  }
}

// models: of the deployment, by name.
void ReadModel(RequestReader& models, bool async, VariantPlan& variant) {
  const char* name = variant.model.c_str();
  const Json* found = models.Object(name, Presence::kRequired);
  if (found == nullptr) return;
  RequestReader model = models.Inside(name, *found);
  variant.container = ReadContainer(model);
  if (async) AllowLargeRequests(variant, kLongestInvocation);
  if (variant.container.multi_model) BoundModels(variant);
}

// changes: of the deployment, by the variant's name.
void ReadChange(RequestReader& changes, VariantPlan& variant) {
  const char* name = variant.name.c_str();
  const Json* found = changes.Object(name, Presence::kOptional);
  if (found == nullptr) return;
  RequestReader change = changes.Inside(name, *found);
  variant.weight = change.Number("weight", 0, variant.weight);
  variant.count = change.Integer("count", Presence::kOptional, 1, kVariantInstances, variant.count);
}

}  // namespace

ContainerPlan ReadContainer(RequestReader& model) {
  const Json* primary = model.Object("PrimaryContainer", Presence::kOptional);
  const Json* containers = model.Array("Containers", Presence::kOptional, 1, 15);
  if ((primary == nullptr) == (containers == nullptr)) {
    model.Fault("PrimaryContainer", primary == nullptr ? "null" : "given",
                "exactly one of PrimaryContainer and Containers must be there");
    return {};
  }
  if (primary != nullptr) return ReadOneContainer(model.Inside("PrimaryContainer", *primary));
  if (containers->size() > 1) {
    Refuse(model, "Containers", "pipelines of several containers");
    return {};
  }
  if (!containers->front().is_object()) {
    model.Fault("Containers", "given", "Member must be a list of objects");
    return {};
  }
  return ReadOneContainer(model.Inside("Containers", containers->front(), 0));
}

std::vector<VariantPlan> ReadVariants(RequestReader& config) {
  std::vector<VariantPlan> plans;
  std::set<std::string> names;
  config.EachObject("ProductionVariants", Presence::kRequired, 1, 10, [&](RequestReader& variant) {
    plans.push_back(ReadVariant(variant));
    if (!names.insert(plans.back().name).second) {
      config.Fault("ProductionVariants", "'" + plans.back().name + "'",
                   "names of variants must differ");
    }
  });
  if (config.Array("ShadowProductionVariants", Presence::kOptional, 0, 10) != nullptr) {
    Refuse(config, "ShadowProductionVariants", "shadow variants");
  }
  if (const Json* capture = config.Object("DataCaptureConfig", Presence::kOptional)) {
    if (config.Inside("DataCaptureConfig", *capture).Flag("EnableCapture")) {
      Refuse(config, "DataCaptureConfig", "capture of data");
    }
  }
  return plans;
}

std::optional<AsyncPlan> ReadAsync(RequestReader& config) {
  const Json* async = config.Object("AsyncInferenceConfig", Presence::kOptional);
  if (async == nullptr) return std::nullopt;
  RequestReader reader = config.Inside("AsyncInferenceConfig", *async);
  AsyncPlan plan;
  if (const Json* client = reader.Object("ClientConfig", Presence::kOptional)) {
    plan.max_concurrent = reader.Inside("ClientConfig", *client)
                              .Integer("MaxConcurrentInvocationsPerInstance", Presence::kOptional,
                                       1, kMaxConcurrent, plan.max_concurrent);
  }
  const Json* output = reader.Object("OutputConfig", Presence::kRequired);
  if (output == nullptr) return plan;
  RequestReader inside = reader.Inside("OutputConfig", *output);
  plan.output = ReadS3Folder(inside, "S3OutputPath");
  if (inside.Has("S3FailurePath")) {
    plan.failure = ReadS3Folder(inside, "S3FailurePath");
  }
  if (inside.Has("NotificationConfig")) {
    Refuse(inside, "NotificationConfig", "notifications: look for the output's object");
  }
  return plan;
}

void AllowLargeRequests(VariantPlan& variant, std::chrono::seconds time_limit) {
  // Before the model's own, so that its values count.
  auto& environment = variant.container.environment;
  environment.insert(environment.begin(),
                     {{"SAGEMAKER_MAX_PAYLOAD_IN_MB", "1024"},
                      {"SAGEMAKER_MODEL_SERVER_TIMEOUT", std::to_string(time_limit.count())}});
  variant.serve_flags = {"--max-texts", "1000000", "--max-queue-tokens", "1000000000"};
}

Result<EndpointPlan> PlanOf(const Json& deployment) {
  if (!deployment.is_object()) return Damaged("it is no JSON object");
  RequestReader reader(deployment);
  EndpointPlan plan;
  // It is a folder's name.
  plan.id = reader.Text("id", Presence::kRequired, {.max = 64, .pattern = "[0-9a-f]+"});
  const Json* config = reader.Object("config", Presence::kRequired);
  const Json* models = reader.Object("models", Presence::kRequired);
  const Json* changes = reader.Object("variants", Presence::kRequired);
  if (config != nullptr && models != nullptr && changes != nullptr) {
    ReadConfig(reader.Inside("config", *config), plan);
    RequestReader containers = reader.Inside("models", *models);
    RequestReader changed = reader.Inside("variants", *changes);
    for (VariantPlan& variant : plan.variants) {
      ReadModel(containers, plan.async.has_value(), variant);
      ReadChange(changed, variant);
    }
  }
  if (const auto failure = reader.failure()) return Damaged(failure->message);
  return plan;
}

Result<EndpointPlan> ParsePlan(const std::string& deployment) {
  const auto json = formats::ParseJson(deployment, "deployment");
  if (!json.ok()) return Damaged(json.error().message);
  return PlanOf(*json);
}

int64_t EndpointPlan::instances() const {
  int64_t sum = 0;
  for (const VariantPlan& variant : variants) sum += variant.count;
  return sum;
}

std::string IdOf(const std::string& deployment) {
  const auto json = formats::ParseJson(deployment, "deployment");
  if (!json.ok() || !json->is_object()) return "";
  const auto id = json->find("id");
  return id != json->end() && id->is_string() ? id->get<std::string>() : "";
}

void Override(Json& deployment, const std::string& variant, const char* what, const Json& value) {
  deployment["variants"][variant][what] = value;
}

}  // namespace bertie::cloud
