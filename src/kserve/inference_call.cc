#include <algorithm>
#include <chrono>
#include <new>
#include <stop_token>
#include <utility>
#include <variant>

#include "kserve/convert.h"
#include "kserve/services.h"
#include "serve/inference.h"
#include "serve/v2/v2_inference.h"

namespace bertie::kserve {
namespace {

using http::Refusal;
using serve::Clock;

// The name of the call among the routes of the metrics.
constexpr const char* kRoute = "grpc:ModelInfer";

// gRPC's deadline is on the wall clock; inferences' is on one that is never set.
Clock::time_point SteadyDeadline(std::chrono::system_clock::time_point deadline) {
  const auto left = deadline - std::chrono::system_clock::now();
  // A call without a deadline has one that is too far away to add to.
  if (left > std::chrono::hours(24)) return Clock::time_point::max();
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(left);
}

class InferenceCall final : public grpc::ServerUnaryReactor {
 public:
  InferenceCall(serve::ServeContext& context, inference::ModelInferResponse& answer)
      : context_(context), answer_(answer) {}

  void Start(const grpc::CallbackServerContext& call, const inference::ModelInferRequest& request) {
    raw_ = request.raw_input_contents_size() > 0;
    auto found = context_.FindModel(request.model_name(), request.model_version());
    if (const auto* refusal = std::get_if<Refusal>(&found)) return Refuse(*refusal);
    model_ = std::get<serve::ModelPointer>(std::move(found));
    auto read = FromProto(request);
    if (const auto* refusal = std::get_if<Refusal>(&read)) return Refuse(*refusal);
    const serve::HandlerOptions& options = context_.options;
    auto planned = serve::PlanV2(std::get<serve::V2Request>(std::move(read)),
                                 {.max_texts = options.max_texts, .max_length = model_->max_length},
                                 options.truncate, model_->scheme.labels.size());
    if (const auto* refusal = std::get_if<Refusal>(&planned)) return Refuse(*refusal);
    auto& work = std::get<serve::V2Work>(planned);
    plan_ = std::move(work.plan);
    texts_ = !work.inference.texts.empty();
    work.inference.model = model_;
    work.inference.cancelled = stop_.get_token();
    work.inference.deadline =
        std::min(SteadyDeadline(call.deadline()), begin_ + options.request_timeout);
    if (plan_.timeout) {
      work.inference.deadline = std::min(work.inference.deadline, begin_ + *plan_.timeout);
    }
    serve::Infer(std::move(work.inference),
                 [this](serve::InferenceResult result) { Answer(std::move(result)); });
  }

  // The last thing that is done with this: gRPC may end it at once.
  void Refuse(const Refusal& refusal) {
    if (model_) {
      model_->metrics->CountRequest(kRoute, refusal.status);
    } else {
      context_.metrics.CountRequest(kRoute, refusal.status);
    }
    if (refusal.status == 500) context_.Log(std::string(refusal.type) + ": " + refusal.message);
    Finish(ToStatus(refusal));
  }

 private:
  // The client has gone, or its deadline has passed. Infer's end still comes.
  void OnCancel() override { stop_.request_stop(); }

  void OnDone() override { delete this; }

  void Answer(serve::InferenceResult result) {
    if (const auto* error = std::get_if<serve::InferenceError>(&result)) {
      return Refuse(serve::ToRefusal(*error, serve::V2TextName(texts_, error->text)));
    }
    const auto& inference = std::get<serve::Inference>(result);
    auto answer = serve::AnswerV2(plan_, inference.logits, model_->scheme);
    if (!answer.ok()) return Refuse({500, "InferenceFailed", answer.error().message});
    answer->model_name = model_->id.name;
    answer->model_version = model_->id.version;
    ToProto(*answer, raw_, answer_);
    model_->metrics->CountRequest(kRoute, 200,
                                  std::chrono::duration<double>(Clock::now() - begin_).count());
    Finish(grpc::Status::OK);
  }

  serve::ServeContext& context_;
  inference::ModelInferResponse& answer_;
  const Clock::time_point begin_ = Clock::now();
  std::stop_source stop_;
  serve::ModelPointer model_;
  serve::V2Plan plan_;
  bool texts_ = true;
  bool raw_ = false;
};

}  // namespace

grpc::ServerUnaryReactor* StartInference(serve::ServeContext& context,
                                         const grpc::CallbackServerContext& call,
                                         const inference::ModelInferRequest& request,
                                         inference::ModelInferResponse& answer) {
  auto* started = new InferenceCall(context, answer);
  try {
    started->Start(call, request);
  } catch (const std::bad_alloc&) {
    started->Refuse({503, "OutOfMemory", "not enough memory for this request"});
  }
  return started;
}

}  // namespace bertie::kserve
