#include "kserve/services.h"

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "kserve/unary_call.h"
#include "serve/access.h"
#include "serve/protocols/repository.h"
#include "serve/v2/v2_inference.h"
#include "serve/v2/v2_models.h"

namespace bertie::kserve {
namespace {

using grpc::ServerUnaryReactor;
using serve::Access;
using serve::LoadedModel;

// A call of the inference service that work(unary) ends.
template <class Work>
ServerUnaryReactor* Serve(serve::ServeContext& context, grpc::CallbackServerContext& call,
                          std::string_view route, Access access, Work&& work) {
  auto* unary = new UnaryCall(context, call, route, access);
  return unary->Run([&] { work(*unary); });
}

serve::ModelRepository::Done AnswerLater(UnaryCall& unary) {
  return [&unary](const Status& status) {
    if (status.ok()) return unary.Answer();
    unary.Refuse(serve::RepositoryRefusal(status.error()));
  };
}

// Fills the answer by fill(model), or ends the call as where there is no such model.
template <class Request, class Fill>
void WithModel(const serve::ServeContext& context, UnaryCall& unary, const Request& request,
               Fill&& fill) {
  const auto found = context.FindModel(request.name(), request.version());
  if (const auto* refusal = std::get_if<http::Refusal>(&found)) return unary.Refuse(*refusal);
  const auto& model = std::get<serve::ModelPointer>(found);
  unary.record().SetModel(model);
  fill(*model);
  unary.Answer();
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

void FillIndex(const serve::ModelRepository& repository, bool only_ready,
               inference::RepositoryIndexResponse& answer) {
  for (const serve::ModelStatus& model : repository.Index()) {
    if (only_ready && model.state != serve::ModelStatus::State::kReady) continue;
    auto* entry = answer.add_models();
    entry->set_name(model.id.name);
    entry->set_version(model.id.version);
    entry->set_state(serve::StateName(model.state));
    entry->set_reason(model.reason);
  }
}

}  // namespace

ServerUnaryReactor* InferenceService::ServerLive(Call* call, const inference::ServerLiveRequest*,
                                                 inference::ServerLiveResponse* answer) {
  return Serve(context_, *call, "/inference.GRPCInferenceService/ServerLive", Access::kOpen,
               [&](UnaryCall& unary) {
                 answer->set_live(true);
                 unary.Answer();
               });
}

ServerUnaryReactor* InferenceService::ServerReady(Call* call, const inference::ServerReadyRequest*,
                                                  inference::ServerReadyResponse* answer) {
  return Serve(context_, *call, "/inference.GRPCInferenceService/ServerReady", Access::kOpen,
               [&](UnaryCall& unary) {
                 answer->set_ready(!context_.NotReady());
                 unary.Answer();
               });
}

ServerUnaryReactor* InferenceService::ModelReady(Call* call,
                                                 const inference::ModelReadyRequest* request,
                                                 inference::ModelReadyResponse* answer) {
  return Serve(
      context_, *call, "/inference.GRPCInferenceService/ModelReady", Access::kKey,
      [&](UnaryCall& unary) {
        answer->set_ready(!serve::V2ModelNotReady(context_, request->name(), request->version()));
        unary.Answer();
      });
}

ServerUnaryReactor* InferenceService::ServerMetadata(Call* call,
                                                     const inference::ServerMetadataRequest*,
                                                     inference::ServerMetadataResponse* answer) {
  return Serve(context_, *call, "/inference.GRPCInferenceService/ServerMetadata", Access::kKey,
               [&](UnaryCall& unary) {
                 answer->set_name("bertie");
                 answer->set_version(context_.options.version);
                 for (std::string& extension : serve::V2Extensions(serve::V2Transport::kGrpc)) {
                   answer->add_extensions(std::move(extension));
                 }
                 unary.Answer();
               });
}

ServerUnaryReactor* InferenceService::ModelMetadata(Call* call,
                                                    const inference::ModelMetadataRequest* request,
                                                    inference::ModelMetadataResponse* answer) {
  const auto fill = [&](const LoadedModel& model) {
    answer->set_name(model.id.name);
    for (std::string& version : serve::V2Versions(context_, model)) {
      answer->add_versions(std::move(version));
    }
    answer->set_platform(std::string(serve::kV2Platform));
    FillTypes(serve::V2Inputs(), answer->mutable_inputs());
    FillTypes(serve::V2Outputs(LabelsOf(model)), answer->mutable_outputs());
  };
  return Serve(context_, *call, "/inference.GRPCInferenceService/ModelMetadata", Access::kKey,
               [&](UnaryCall& unary) { WithModel(context_, unary, *request, fill); });
}

ServerUnaryReactor* InferenceService::ModelConfig(Call* call,
                                                  const inference::ModelConfigRequest* request,
                                                  inference::ModelConfigResponse* answer) {
  const auto fill = [&](const LoadedModel& model) {
    inference::ModelConfig& config = *answer->mutable_config();
    config.set_name(model.id.name);
    config.set_platform(std::string(serve::kV2Platform));
    config.set_backend(std::string(serve::kV2Platform));
    FillConfig(serve::V2Inputs(), config.mutable_input());
    for (auto& input : *config.mutable_input()) input.set_optional(true);
    FillConfig(serve::V2Outputs(LabelsOf(model)), config.mutable_output());
  };
  return Serve(context_, *call, "/inference.GRPCInferenceService/ModelConfig", Access::kKey,
               [&](UnaryCall& unary) { WithModel(context_, unary, *request, fill); });
}

ServerUnaryReactor* InferenceService::ModelStatistics(
    Call* call, const inference::ModelStatisticsRequest* request,
    inference::ModelStatisticsResponse* answer) {
  const auto fill = [&](const LoadedModel& model) {
    FillStatistics(model, answer->add_model_stats());
  };
  return Serve(context_, *call, "/inference.GRPCInferenceService/ModelStatistics", Access::kKey,
               [&](UnaryCall& unary) {
                 if (!request->name().empty()) return WithModel(context_, unary, *request, fill);
                 for (const serve::ModelPointer& model : context_.models.List()) fill(*model);
                 unary.Answer();
               });
}

ServerUnaryReactor* InferenceService::RepositoryIndex(
    Call* call, const inference::RepositoryIndexRequest* request,
    inference::RepositoryIndexResponse* answer) {
  return Serve(context_, *call, "/inference.GRPCInferenceService/RepositoryIndex", Access::kAdmin,
               [&](UnaryCall& unary) {
                 FillIndex(repository_, request->ready(), *answer);
                 unary.Answer();
               });
}

ServerUnaryReactor* InferenceService::RepositoryModelLoad(
    Call* call, const inference::RepositoryModelLoadRequest* request,
    inference::RepositoryModelLoadResponse*) {
  return Serve(context_, *call, "/inference.GRPCInferenceService/RepositoryModelLoad",
               Access::kAdmin, [&](UnaryCall& unary) {
                 if (request->parameters().empty()) {
                   return repository_.Load(request->model_name(), AnswerLater(unary));
                 }
                 unary.Refuse({400, "InvalidInput",
                               "a model is loaded from its folder as it is: parameters (config, "
                               "file:...) are not taken"});
               });
}

ServerUnaryReactor* InferenceService::RepositoryModelUnload(
    Call* call, const inference::RepositoryModelUnloadRequest* request,
    inference::RepositoryModelUnloadResponse*) {
  return Serve(
      context_, *call, "/inference.GRPCInferenceService/RepositoryModelUnload", Access::kAdmin,
      [&](UnaryCall& unary) { repository_.Unload(request->model_name(), AnswerLater(unary)); });
}

ServerUnaryReactor* InferenceService::ModelInfer(Call* call,
                                                 const inference::ModelInferRequest* request,
                                                 inference::ModelInferResponse* answer) {
  return StartInference(context_, *call, *request, *answer);
}

grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
InferenceService::ModelStreamInfer(Call* call) {
  const auto stream = std::make_shared<InferenceStream>(context_, streams_, *call);
  stream->Begin();
  return stream.get();
}

}  // namespace bertie::kserve
