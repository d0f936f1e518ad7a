#include <optional>
#include <stop_token>

#include "kserve/model_inference.h"
#include "kserve/services.h"
#include "kserve/unary_call.h"

namespace bertie::kserve {
namespace {

class InferenceCall final : public UnaryCall {
 public:
  InferenceCall(serve::ServeContext& context, grpc::CallbackServerContext& call)
      : UnaryCall(context, call, "/inference.GRPCInferenceService/ModelInfer",
                  serve::Access::kKey) {}

  std::stop_token cancelled() const { return stop_.get_token(); }

 private:
  // The client has gone, or its deadline has passed. The inference's end still comes.
  void OnCancel() override { stop_.request_stop(); }

  std::stop_source stop_;
};

}  // namespace

grpc::ServerUnaryReactor* StartInference(serve::ServeContext& context,
                                         grpc::CallbackServerContext& call,
                                         const inference::ModelInferRequest& request,
                                         inference::ModelInferResponse& answer) {
  auto* started = new InferenceCall(context, call);
  return started->Run([&] {
    InferModel({context, started->record(), call.deadline(), started->cancelled()}, request, answer,
               [started](const std::optional<http::Refusal>& refusal) {
                 if (refusal) return started->Refuse(*refusal);
                 started->Answer();
               });
  });
}

}  // namespace bertie::kserve
