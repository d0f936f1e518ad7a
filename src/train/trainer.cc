#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>

#include "train/adamw.h"

namespace bertie::train {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Everything that one run keeps from step to step.
class Run {
 public:
  Run(model::TrainableClassifier& model, const EncodedDataset& train, const EncodedDataset* test,
      const TrainerOptions& options, const TrainerHooks& hooks, ThreadPool& pool)
      : model_(model),
        train_(train),
        test_(test),
        options_(options),
        hooks_(hooks),
        pool_(pool),
        optimizer_(model.parameters(),
                   {0.9f, 0.999f, 1e-8f, static_cast<float>(options.weight_decay)}) {
    for (const auto& encoding : train.encodings) {
      lengths_.push_back(static_cast<int32_t>(encoding.ids.size()));
    }
    const auto sentences = static_cast<int64_t>(train.encodings.size());
    const int64_t batches = (sentences + options.batch_size - 1) / options.batch_size;
    const int64_t steps =
        (batches + options.gradient_accumulation - 1) / options.gradient_accumulation;
    total_steps_ = steps * options.epochs;
    warmup_steps_ =
        static_cast<int64_t>(std::ceil(options.warmup_ratio * static_cast<double>(total_steps_)));
  }

  Result<TrainOutcome> Execute() {
    TrainOutcome outcome;
    for (int64_t epoch = 1; epoch <= options_.epochs; ++epoch) {
      EpochReport report;
      report.epoch = epoch;
      BERTIE_ASSIGN_OR_RETURN(const bool whole, RunEpoch(report));
      if (!whole) {
        outcome.interrupted = true;
        return outcome;
      }
      BERTIE_RETURN_IF_ERROR(Test(report));
      if (hooks_.on_epoch) BERTIE_RETURN_IF_ERROR(hooks_.on_epoch(report, model_));
      outcome.epochs = epoch;
    }
    return outcome;
  }

 private:
  bool Stopped() const { return hooks_.stop != nullptr && hooks_.stop->load(); }

  // False when the run was stopped within the epoch.
  Result<bool> RunEpoch(EpochReport& report) {
    const auto start = Clock::now();
    const auto batches = data::MakeBatches(
        lengths_, {options_.order, static_cast<size_t>(options_.batch_size), 50, options_.seed},
        static_cast<uint64_t>(report.epoch));
    const auto group = static_cast<size_t>(options_.gradient_accumulation);
    double loss_sum = 0;
    int64_t seen = 0;
    for (size_t first = 0; first < batches.size(); first += group) {
      const std::span passes(batches.data() + first, std::min(group, batches.size() - first));
      StepReport step;
      step.epoch = report.epoch;
      BERTIE_ASSIGN_OR_RETURN(const bool whole, RunStep(passes, step));
      if (!whole) return false;
      loss_sum += step.loss * static_cast<double>(step.sentences);
      seen += step.sentences;
      step.sentences = seen;
      if (hooks_.on_step) hooks_.on_step(step);
    }
    report.steps = step_;
    report.seconds = SecondsSince(start);
    report.train_loss = loss_sum / static_cast<double>(seen);
    report.sentences_per_s = static_cast<double>(seen) / report.seconds;
    return true;
  }

  // Gradients of all passes, the norm, the update.
  Result<bool> RunStep(std::span<const std::vector<size_t>> passes, StepReport& report) {
    int64_t sentences = 0;
    for (const auto& pass : passes) sentences += static_cast<int64_t>(pass.size());
    model_.parameters().ZeroGradients(pool_);
    double loss = 0;
    for (const auto& pass : passes) {
      if (Stopped()) return false;
      BERTIE_ASSIGN_OR_RETURN(const double sum,
                              Accumulate(pass, 1.0f / static_cast<float>(sentences)));
      loss += sum;
    }
    report.loss = loss / static_cast<double>(sentences);
    report.gradient_norm = model_.parameters().GradientNorm(pool_);
    if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm)) {
      return Error{ErrorCode::kInvalidData, "step " + std::to_string(step_ + 1) + ": the loss is " +
                                                std::to_string(report.loss) +
                                                " and the gradients' norm " +
                                                std::to_string(report.gradient_norm) +
                                                "; training has diverged: try a smaller --lr"};
    }
    report.learning_rate = options_.learning_rate *
                           ScheduleFactor(options_.schedule, step_, total_steps_, warmup_steps_);
    float scale = 1;
    if (options_.max_grad_norm > 0) {
      scale =
          static_cast<float>(std::min(1.0, options_.max_grad_norm / (report.gradient_norm + 1e-6)));
    }
    optimizer_.Step(model_.parameters(), static_cast<float>(report.learning_rate), scale, pool_);
    report.step = ++step_;
    report.total_steps = total_steps_;
    report.sentences = sentences;
    return true;
  }

  Result<double> Accumulate(const std::vector<size_t>& indices, float scale) {
    batch_.Clear();
    labels_.clear();
    for (size_t index : indices) {
      batch_.Add(train_.encodings[index].ids, train_.encodings[index].type_ids);
      labels_.push_back(train_.labels[index]);
    }
    BERTIE_ASSIGN_OR_RETURN(
        auto result, model_.Accumulate({&batch_, labels_, scale, options_.seed, ++passes_}, pool_));
    return result.loss_sum;
  }

  Status Test(EpochReport& report) {
    if (test_ == nullptr) return {};
    const auto start = Clock::now();
    BERTIE_ASSIGN_OR_RETURN(
        const auto classifier,
        model::Classifier::Create(model_.parameters().View(model_.config()), pool_));
    BERTIE_ASSIGN_OR_RETURN(
        report.test, Evaluate(classifier, *test_, {options_.test_batch_size, nullptr}, pool_));
    report.test_seconds = SecondsSince(start);
    return {};
  }

  model::TrainableClassifier& model_;
  const EncodedDataset& train_;
  const EncodedDataset* test_;
  const TrainerOptions& options_;
  const TrainerHooks& hooks_;
  ThreadPool& pool_;
  AdamW optimizer_;
  std::vector<int32_t> lengths_;
  int64_t total_steps_ = 0;
  int64_t warmup_steps_ = 0;
  int64_t step_ = 0;
  uint64_t passes_ = 0;
  model::PackedBatch batch_;
  std::vector<int32_t> labels_;
};

}  // namespace

Result<TrainOutcome> Train(model::TrainableClassifier& model, const EncodedDataset& train,
                           const EncodedDataset* test, const TrainerOptions& options,
                           const TrainerHooks& hooks, ThreadPool& pool) {
  if (train.encodings.empty()) {
    return Error{ErrorCode::kInvalidArgument, "no sentence to train on"};
  }
  return Run(model, train, test, options, hooks, pool).Execute();
}

}  // namespace bertie::train
