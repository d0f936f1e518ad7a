#include "kserve/model_inference.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include "kserve/convert.h"
#include "serve/inference.h"
#include "serve/v2/v2_inference.h"

namespace bertie::kserve {
namespace {

using http::Refusal;
using serve::Clock;

// What is left of a request while it is computed.
struct Pending {
  InferenceCallFacts call;
  inference::ModelInferResponse& answer;
  std::function<void(const std::optional<Refusal>&)> done;
  serve::ModelPointer model = {};
  serve::V2Plan plan = {};
  bool texts = true;
  bool raw = false;
};

// gRPC's deadline is on the wall clock; inferences' is on one that is never set.
Clock::time_point SteadyDeadline(std::chrono::system_clock::time_point deadline) {
  const auto left = deadline - std::chrono::system_clock::now();
  // A call without a deadline has one that is too far away to add to.
  if (left > std::chrono::hours(24)) return Clock::time_point::max();
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(left);
}

std::variant<serve::InferenceRequest, Refusal> Plan(const inference::ModelInferRequest& request,
                                                    Pending& pending) {
  const serve::ServeContext& context = pending.call.context;
  serve::RequestRecord& record = pending.call.record;
  pending.raw = request.raw_input_contents_size() > 0;
  auto found = context.FindModel(request.model_name(), request.model_version());
  if (auto* refusal = std::get_if<Refusal>(&found)) return std::move(*refusal);
  pending.model = std::get<serve::ModelPointer>(std::move(found));
  record.SetModel(pending.model);
  auto read = FromProto(request);
  if (auto* refusal = std::get_if<Refusal>(&read)) return std::move(*refusal);
  const serve::HandlerOptions& options = context.options;
  auto planned =
      serve::PlanV2(std::get<serve::V2Request>(std::move(read)),
                    {.max_texts = options.max_texts, .max_length = pending.model->max_length},
                    options.long_texts, pending.model->scheme.labels.size());
  if (auto* refusal = std::get_if<Refusal>(&planned)) return std::move(*refusal);
  auto& work = std::get<serve::V2Work>(planned);
  pending.plan = std::move(work.plan);
  pending.texts = !work.inference.texts.empty();
  work.inference.model = pending.model;
  work.inference.cancelled = pending.call.cancelled;
  work.inference.deadline =
      std::min(SteadyDeadline(pending.call.deadline), record.begin() + options.request_timeout);
  if (pending.plan.timeout) {
    work.inference.deadline =
        std::min(work.inference.deadline, record.begin() + *pending.plan.timeout);
  }
  return std::move(work.inference);
}

std::optional<Refusal> Fill(const Pending& pending, const serve::InferenceResult& result) {
  if (const auto* error = std::get_if<serve::InferenceError>(&result)) {
    return serve::ToRefusal(*error, serve::V2TextName(pending.texts, error->text));
  }
  const auto& inference = std::get<serve::Inference>(result);
  pending.call.record.AddTexts(inference);
  auto answer = serve::AnswerV2(pending.plan, inference.logits, pending.model->scheme);
  if (!answer.ok()) return Refusal{500, "InferenceFailed", answer.error().message};
  answer->model_name = pending.model->id.name;
  answer->model_version = pending.model->id.version;
  ToProto(*answer, pending.raw, pending.answer);
  return std::nullopt;
}

}  // namespace

void InferModel(const InferenceCallFacts& call, const inference::ModelInferRequest& request,
                inference::ModelInferResponse& answer,
                std::function<void(const std::optional<Refusal>&)> done) {
  const auto pending = std::make_shared<Pending>(Pending{call, answer, std::move(done)});
  auto planned = Plan(request, *pending);
  if (auto* refusal = std::get_if<Refusal>(&planned)) return pending->done(std::move(*refusal));
  serve::Infer(
      std::get<serve::InferenceRequest>(std::move(planned)),
      [pending](const serve::InferenceResult& result) { pending->done(Fill(*pending, result)); });
}

}  // namespace bertie::kserve
