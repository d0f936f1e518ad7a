#include <algorithm>
#include <chrono>
#include <stop_token>
#include <utility>
#include <variant>

#include "kserve/convert.h"
#include "kserve/services.h"
#include "kserve/unary_call.h"
#include "serve/inference.h"
#include "serve/v2/v2_inference.h"

namespace bertie::kserve {
namespace {

using http::Refusal;
using serve::Clock;

// gRPC's deadline is on the wall clock; inferences' is on one that is never set.
Clock::time_point SteadyDeadline(std::chrono::system_clock::time_point deadline) {
  const auto left = deadline - std::chrono::system_clock::now();
  // A call without a deadline has one that is too far away to add to.
  if (left > std::chrono::hours(24)) return Clock::time_point::max();
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(left);
}

class InferenceCall final : public UnaryCall {
 public:
  InferenceCall(serve::ServeContext& context, grpc::CallbackServerContext& call,
                inference::ModelInferResponse& answer)
      : UnaryCall(context, call, "/inference.GRPCInferenceService/ModelInfer", serve::Access::kKey),
        context_(context),
        answer_(answer) {}

  void Start(const grpc::CallbackServerContext& call, const inference::ModelInferRequest& request) {
    raw_ = request.raw_input_contents_size() > 0;
    auto found = context_.FindModel(request.model_name(), request.model_version());
    if (const auto* refusal = std::get_if<Refusal>(&found)) return Refuse(*refusal);
    model_ = std::get<serve::ModelPointer>(std::move(found));
    record().SetModel(model_);
    auto read = FromProto(request);
    if (const auto* refusal = std::get_if<Refusal>(&read)) return Refuse(*refusal);
    const serve::HandlerOptions& options = context_.options;
    auto planned = serve::PlanV2(std::get<serve::V2Request>(std::move(read)),
                                 {.max_texts = options.max_texts, .max_length = model_->max_length},
                                 options.long_texts, model_->scheme.labels.size());
    if (const auto* refusal = std::get_if<Refusal>(&planned)) return Refuse(*refusal);
    auto& work = std::get<serve::V2Work>(planned);
    plan_ = std::move(work.plan);
    texts_ = !work.inference.texts.empty();
    work.inference.model = model_;
    work.inference.cancelled = stop_.get_token();
    work.inference.deadline =
        std::min(SteadyDeadline(call.deadline()), record().begin() + options.request_timeout);
    if (plan_.timeout) {
      work.inference.deadline =
          std::min(work.inference.deadline, record().begin() + *plan_.timeout);
    }
    serve::Infer(std::move(work.inference),
                 [this](serve::InferenceResult result) { OnResult(std::move(result)); });
  }

 private:
  // The client has gone, or its deadline has passed. Infer's end still comes.
  void OnCancel() override { stop_.request_stop(); }

  void OnResult(serve::InferenceResult result) {
    if (const auto* error = std::get_if<serve::InferenceError>(&result)) {
      return Refuse(serve::ToRefusal(*error, serve::V2TextName(texts_, error->text)));
    }
    const auto& inference = std::get<serve::Inference>(result);
    record().AddTexts(inference);
    auto answer = serve::AnswerV2(plan_, inference.logits, model_->scheme);
    if (!answer.ok()) return Refuse({500, "InferenceFailed", answer.error().message});
    answer->model_name = model_->id.name;
    answer->model_version = model_->id.version;
    ToProto(*answer, raw_, answer_);
    Answer();
  }

  serve::ServeContext& context_;
  inference::ModelInferResponse& answer_;
  std::stop_source stop_;
  serve::ModelPointer model_;
  serve::V2Plan plan_;
  bool texts_ = true;
  bool raw_ = false;
};

}  // namespace

grpc::ServerUnaryReactor* StartInference(serve::ServeContext& context,
                                         grpc::CallbackServerContext& call,
                                         const inference::ModelInferRequest& request,
                                         inference::ModelInferResponse& answer) {
  auto* started = new InferenceCall(context, call, answer);
  return started->Run([&] { started->Start(call, request); });
}

}  // namespace bertie::kserve
