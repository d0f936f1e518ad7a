// The calls of inference.proto, by gRPC's callbacks.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "inference.grpc.pb.h"
#include "kserve/inference_stream.h"
#include "serve/context.h"
#include "serve/model_repository.h"

namespace bertie::kserve {

// Any thread; the context and the repository outlive the service and its calls. Keys are asked for
// as over HTTP, by the metadata "authorization: Bearer KEY".
class InferenceService final : public inference::GRPCInferenceService::CallbackService {
 public:
  InferenceService(serve::ServeContext& context, serve::ModelRepository& repository)
      : context_(context), repository_(repository) {}

  // Ends the streams, open ones and those that still come, once what they have read is answered.
  // Without it they hold up the gRPC server's Shutdown.
  void BeginDrain() { streams_->BeginDrain(); }

 private:
  using Call = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  Reactor* ServerLive(Call* call, const inference::ServerLiveRequest* request,
                      inference::ServerLiveResponse* answer) override;
  Reactor* ServerReady(Call* call, const inference::ServerReadyRequest* request,
                       inference::ServerReadyResponse* answer) override;
  Reactor* ModelReady(Call* call, const inference::ModelReadyRequest* request,
                      inference::ModelReadyResponse* answer) override;
  Reactor* ServerMetadata(Call* call, const inference::ServerMetadataRequest* request,
                          inference::ServerMetadataResponse* answer) override;
  Reactor* ModelMetadata(Call* call, const inference::ModelMetadataRequest* request,
                         inference::ModelMetadataResponse* answer) override;
  Reactor* ModelConfig(Call* call, const inference::ModelConfigRequest* request,
                       inference::ModelConfigResponse* answer) override;
  Reactor* ModelStatistics(Call* call, const inference::ModelStatisticsRequest* request,
                           inference::ModelStatisticsResponse* answer) override;
  Reactor* RepositoryIndex(Call* call, const inference::RepositoryIndexRequest* request,
                           inference::RepositoryIndexResponse* answer) override;
  Reactor* RepositoryModelLoad(Call* call, const inference::RepositoryModelLoadRequest* request,
                               inference::RepositoryModelLoadResponse* answer) override;
  Reactor* RepositoryModelUnload(Call* call, const inference::RepositoryModelUnloadRequest* request,
                                 inference::RepositoryModelUnloadResponse* answer) override;
  Reactor* ModelInfer(Call* call, const inference::ModelInferRequest* request,
                      inference::ModelInferResponse* answer) override;
  grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
  ModelStreamInfer(Call* call) override;

  serve::ServeContext& context_;
  serve::ModelRepository& repository_;
  const std::shared_ptr<InferenceStreams> streams_ = std::make_shared<InferenceStreams>();
};

// One inference, from its request to its answer; ends itself.
grpc::ServerUnaryReactor* StartInference(serve::ServeContext& context,
                                         grpc::CallbackServerContext& call,
                                         const inference::ModelInferRequest& request,
                                         inference::ModelInferResponse& answer);

}  // namespace bertie::kserve
