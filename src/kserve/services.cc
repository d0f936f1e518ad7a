#include "kserve/services.h"

#include <string>
#include <utility>
#include <variant>

#include "kserve/convert.h"
#include "serve/access.h"
#include "serve/protocols/repository.h"
#include "serve/v2/v2_inference.h"
#include "serve/v2/v2_models.h"

namespace bertie::kserve {
namespace {

using grpc::ServerUnaryReactor;
using grpc::health::v1::HealthCheckResponse;
using serve::Access;
using serve::LoadedModel;

ServerUnaryReactor* Finish(grpc::CallbackServerContext* call, const grpc::Status& status) {
  ServerUnaryReactor* reactor = call->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// reactor: the call's, taken once: DefaultReactor makes it anew each time, and what it was told in
// between is lost.
serve::ModelRepository::Done FinishLater(ServerUnaryReactor* reactor) {
  return [reactor](const Status& status) {
    reactor->Finish(status.ok() ? grpc::Status::OK
                                : ToStatus(serve::RepositoryRefusal(status.error())));
  };
}

// Whether the call's metadata show the key that is needed.
grpc::Status CheckKey(const serve::ServeContext& context, Access access,
                      const grpc::CallbackServerContext& call) {
  http::RequestHead head;
  const auto& metadata = call.client_metadata();
  const auto found = metadata.find("authorization");
  if (found != metadata.end()) {
    const std::string value(found->second.data(), found->second.size());
    head.fields.push_back({"Authorization", value});
  }
  auto refusal = serve::CheckAccess(context.options.keys, access, head);
  if (!refusal) return grpc::Status::OK;
  if (refusal->message.empty()) refusal->message = "a key is needed";
  return ToStatus(*refusal);
}

// Fills the answer by fill(model), or ends the call as where there is no such model.
template <class Request, class Fill>
ServerUnaryReactor* WithModel(const serve::ServeContext& context, grpc::CallbackServerContext* call,
                              const Request& request, Fill&& fill) {
  if (const auto status = CheckKey(context, Access::kKey, *call); !status.ok()) {
    return Finish(call, status);
  }
  const auto found = context.FindModel(request.name(), request.version());
  if (const auto* refusal = std::get_if<http::Refusal>(&found)) {
    return Finish(call, ToStatus(*refusal));
  }
  fill(*std::get<serve::ModelPointer>(found));
  return Finish(call, grpc::Status::OK);
}

int64_t LabelsOf(const LoadedModel& model) {
  return static_cast<int64_t>(model.scheme.labels.size());
}

template <class Tensors>
void FillTypes(const std::vector<serve::V2TensorType>& types, Tensors* tensors) {
  for (const serve::V2TensorType& type : types) {
    auto* tensor = tensors->Add();
    tensor->set_name(std::string(type.name));
    tensor->set_datatype(std::string(type.datatype));
    tensor->mutable_shape()->Add(type.shape.begin(), type.shape.end());
  }
}

inference::DataType ConfigType(std::string_view datatype) {
  if (datatype == "BYTES") return inference::TYPE_STRING;
  return datatype == "FP32" ? inference::TYPE_FP32 : inference::TYPE_INT64;
}

template <class Tensors>
void FillConfig(const std::vector<serve::V2TensorType>& types, Tensors* tensors) {
  for (const serve::V2TensorType& type : types) {
    auto* tensor = tensors->Add();
    tensor->set_name(std::string(type.name));
    tensor->set_data_type(ConfigType(type.datatype));
    tensor->mutable_dims()->Add(type.shape.begin(), type.shape.end());
  }
}

void FillStatistics(const LoadedModel& model, inference::ModelStatistics* out) {
  const serve::ModelTotals totals = model.metrics->Totals();
  out->set_name(model.id.name);
  out->set_version(model.id.version);
  out->set_last_inference(serve::V2Milliseconds(totals.last));
  out->set_inference_count(static_cast<uint64_t>(totals.texts));
  out->set_execution_count(static_cast<uint64_t>(totals.batches));
  inference::InferStatistics& all = *out->mutable_inference_stats();
  const auto* names = all.GetDescriptor();
  for (const auto& [name, duration] : serve::V2Durations(totals)) {
    auto* message = all.GetReflection()->MutableMessage(&all, names->FindFieldByName(name));
    auto* filled = static_cast<inference::StatisticDuration*>(message);
    filled->set_count(duration.count);
    filled->set_ns(duration.ns);
  }
}

}  // namespace

ServerUnaryReactor* InferenceService::ServerLive(Call* call, const inference::ServerLiveRequest*,
                                                 inference::ServerLiveResponse* answer) {
  answer->set_live(true);
  return Finish(call, grpc::Status::OK);
}

ServerUnaryReactor* InferenceService::ServerReady(Call* call, const inference::ServerReadyRequest*,
                                                  inference::ServerReadyResponse* answer) {
  answer->set_ready(!context_.NotReady());
  return Finish(call, grpc::Status::OK);
}

ServerUnaryReactor* InferenceService::ModelReady(Call* call,
                                                 const inference::ModelReadyRequest* request,
                                                 inference::ModelReadyResponse* answer) {
  if (const auto status = CheckKey(context_, Access::kKey, *call); !status.ok()) {
    return Finish(call, status);
  }
  answer->set_ready(!serve::V2ModelNotReady(context_, request->name(), request->version()));
  return Finish(call, grpc::Status::OK);
}

ServerUnaryReactor* InferenceService::ServerMetadata(Call* call,
                                                     const inference::ServerMetadataRequest*,
                                                     inference::ServerMetadataResponse* answer) {
  if (const auto status = CheckKey(context_, Access::kKey, *call); !status.ok()) {
    return Finish(call, status);
  }
  answer->set_name("bertie");
  answer->set_version(context_.options.version);
  for (std::string& extension : serve::V2Extensions(serve::V2Transport::kGrpc)) {
    answer->add_extensions(std::move(extension));
  }
  return Finish(call, grpc::Status::OK);
}

ServerUnaryReactor* InferenceService::ModelMetadata(Call* call,
                                                    const inference::ModelMetadataRequest* request,
                                                    inference::ModelMetadataResponse* answer) {
  return WithModel(context_, call, *request, [&](const LoadedModel& model) {
    answer->set_name(model.id.name);
    for (std::string& version : serve::V2Versions(context_, model)) {
      answer->add_versions(std::move(version));
    }
    answer->set_platform(std::string(serve::kV2Platform));
    FillTypes(serve::V2Inputs(), answer->mutable_inputs());
    FillTypes(serve::V2Outputs(LabelsOf(model)), answer->mutable_outputs());
  });
}

ServerUnaryReactor* InferenceService::ModelConfig(Call* call,
                                                  const inference::ModelConfigRequest* request,
                                                  inference::ModelConfigResponse* answer) {
  return WithModel(context_, call, *request, [&](const LoadedModel& model) {
    inference::ModelConfig& config = *answer->mutable_config();
    config.set_name(model.id.name);
    config.set_platform(std::string(serve::kV2Platform));
    config.set_backend(std::string(serve::kV2Platform));
    FillConfig(serve::V2Inputs(), config.mutable_input());
    for (auto& input : *config.mutable_input()) input.set_optional(true);
    FillConfig(serve::V2Outputs(LabelsOf(model)), config.mutable_output());
  });
}

ServerUnaryReactor* InferenceService::ModelStatistics(
    Call* call, const inference::ModelStatisticsRequest* request,
    inference::ModelStatisticsResponse* answer) {
  if (const auto status = CheckKey(context_, Access::kKey, *call); !status.ok()) {
    return Finish(call, status);
  }
  if (!request->name().empty()) {
    return WithModel(context_, call, *request, [&](const LoadedModel& model) {
      FillStatistics(model, answer->add_model_stats());
    });
  }
  for (const serve::ModelPointer& model : context_.models.List()) {
    FillStatistics(*model, answer->add_model_stats());
  }
  return Finish(call, grpc::Status::OK);
}

ServerUnaryReactor* InferenceService::RepositoryIndex(
    Call* call, const inference::RepositoryIndexRequest* request,
    inference::RepositoryIndexResponse* answer) {
  if (const auto status = CheckKey(context_, Access::kAdmin, *call); !status.ok()) {
    return Finish(call, status);
  }
  for (const serve::ModelStatus& model : repository_.Index()) {
    if (request->ready() && model.state != serve::ModelStatus::State::kReady) continue;
    auto* entry = answer->add_models();
    entry->set_name(model.id.name);
    entry->set_version(model.id.version);
    entry->set_state(serve::StateName(model.state));
    entry->set_reason(model.reason);
  }
  return Finish(call, grpc::Status::OK);
}

ServerUnaryReactor* InferenceService::RepositoryModelLoad(
    Call* call, const inference::RepositoryModelLoadRequest* request,
    inference::RepositoryModelLoadResponse*) {
  if (const auto status = CheckKey(context_, Access::kAdmin, *call); !status.ok()) {
    return Finish(call, status);
  }
  if (!request->parameters().empty()) {
    return Finish(call, {grpc::StatusCode::INVALID_ARGUMENT,
                         "a model is loaded from its folder as it is: parameters (config, "
                         "file:...) are not taken"});
  }
  ServerUnaryReactor* reactor = call->DefaultReactor();
  repository_.Load(request->model_name(), FinishLater(reactor));
  return reactor;
}

ServerUnaryReactor* InferenceService::RepositoryModelUnload(
    Call* call, const inference::RepositoryModelUnloadRequest* request,
    inference::RepositoryModelUnloadResponse*) {
  if (const auto status = CheckKey(context_, Access::kAdmin, *call); !status.ok()) {
    return Finish(call, status);
  }
  ServerUnaryReactor* reactor = call->DefaultReactor();
  repository_.Unload(request->model_name(), FinishLater(reactor));
  return reactor;
}

ServerUnaryReactor* InferenceService::ModelInfer(Call* call,
                                                 const inference::ModelInferRequest* request,
                                                 inference::ModelInferResponse* answer) {
  if (const auto status = CheckKey(context_, Access::kKey, *call); !status.ok()) {
    return Finish(call, status);
  }
  return StartInference(context_, *call, *request, *answer);
}

ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* call,
                                         const grpc::health::v1::HealthCheckRequest* request,
                                         HealthCheckResponse* answer) {
  const std::string& service = request->service();
  if (!service.empty() && service != inference::GRPCInferenceService::service_full_name()) {
    return Finish(call, {grpc::StatusCode::NOT_FOUND, "no such service"});
  }
  answer->set_status(context_.NotReady() ? HealthCheckResponse::NOT_SERVING
                                         : HealthCheckResponse::SERVING);
  return Finish(call, grpc::Status::OK);
}

}  // namespace bertie::kserve
