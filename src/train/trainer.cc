#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>

#include "base/ceil_div.h"
#include "base/elapsed.h"
#include "train/divergence.h"

namespace bertie::train {
namespace {

using Clock = std::chrono::steady_clock;

int64_t CountSentences(std::span<const std::vector<size_t>> passes) {
  int64_t sentences = 0;
  for (const auto& pass : passes) sentences += static_cast<int64_t>(pass.size());
  return sentences;
}

// What the loss's sum is divided by: the number of sentences, or the sum of their weights.
double TotalWeight(std::span<const std::vector<size_t>> passes, const Targets& targets,
                   const std::vector<float>& class_weights) {
  if (class_weights.empty() || targets.problem != ProblemType::kSingleLabel) {
    return static_cast<double>(CountSentences(passes));
  }
  double total = 0;
  for (const auto& pass : passes) {
    for (size_t index : pass) total += class_weights[static_cast<size_t>(targets.labels[index])];
  }
  return total;
}

}  // namespace

Trainer::Trainer(model::TrainableClassifier& model, const EncodedDataset& train,
                 const EncodedDataset* test, const TrainerOptions& options, ThreadPool& pool,
                 comm::Communicator* communicator)
    : model_(model),
      train_(train),
      test_(test),
      options_(options),
      pool_(pool),
      optimizer_(model.parameters(),
                 {0.9f, 0.999f, 1e-8f, static_cast<float>(options.weight_decay)}),
      frozen_outputs_(train.encodings.size(), options.frozen_output_bytes) {
  for (const auto& encoding : train.encodings) {
    lengths_.push_back(static_cast<int32_t>(encoding.ids.size()));
  }
  CountSteps();
  warmup_steps_ =
      static_cast<int64_t>(std::ceil(options.warmup_ratio * static_cast<double>(total_steps())));
  if (communicator != nullptr && communicator->size() > 1) {
    // A bucket is cut in as many messages as there are ranks, and small ones cost as much as large.
    ReducerOptions reducer;
    reducer.wire = options.wire;
    reducer.bucket_bytes = std::max(reducer.bucket_bytes, int64_t{communicator->size()} << 18);
    ranks_ = std::make_unique<Ranks>(*communicator, model.parameters(), reducer);
  }
}

std::vector<std::vector<size_t>> Trainer::Batches(int64_t epoch) const {
  data::SamplerOptions sampler;
  sampler.order = options_.order;
  sampler.batch_size = static_cast<size_t>(options_.batch_size);
  sampler.batch_tokens = options_.batch_tokens;
  sampler.seed = options_.seed;
  return data::MakeBatches(lengths_, sampler, static_cast<uint64_t>(epoch));
}

void Trainer::CountSteps() {
  const auto sentences = static_cast<int64_t>(lengths_.size());
  first_steps_ = {0};
  for (int64_t epoch = 1; epoch <= options_.epochs; ++epoch) {
    const int64_t batches = options_.batch_tokens > 0 ? static_cast<int64_t>(Batches(epoch).size())
                                                      : CeilDiv(sentences, options_.batch_size);
    first_steps_.push_back(first_steps_.back() + CeilDiv(batches, options_.gradient_accumulation));
  }
}

int64_t Trainer::StepsOf(int64_t epoch) const {
  if (epoch > options_.epochs) return 0;
  const auto at = static_cast<size_t>(epoch);
  return first_steps_[at] - first_steps_[at - 1];
}

bool Trainer::finished() const {
  return position_.epoch > options_.epochs || StopsEarly(options_.selection, position_.selection);
}

Status Trainer::ContinueFrom(const Position& position) {
  const bool is_there =
      position.epoch >= 1 && position.epoch <= options_.epochs + 1 && position.epoch_step >= 0 &&
      position.epoch_step <= StepsOf(position.epoch) &&
      position.step == first_steps_[static_cast<size_t>(position.epoch - 1)] + position.epoch_step;
  if (!is_there) {
    return Error{ErrorCode::kInvalidData, "step " + std::to_string(position.step) + " (" +
                                              std::to_string(position.epoch_step) + " of epoch " +
                                              std::to_string(position.epoch) +
                                              ") is not one of a run with " +
                                              std::to_string(options_.epochs) + " epochs of " +
                                              std::to_string(StepsOf(1)) + " steps"};
  }
  position_ = position;
  return {};
}

Result<TrainOutcome> Trainer::Run(const TrainerHooks& hooks) {
  if (train_.encodings.empty()) {
    return Error{ErrorCode::kInvalidArgument, "no sentence to train on"};
  }
  hooks_ = &hooks;
  model_.parameters().ZeroGradients(pool_);  // from here on each step leaves them so
  if (ranks_) BERTIE_RETURN_IF_ERROR(ranks_->TakeFromRankZero(position_, optimizer_));
  TrainOutcome outcome;
  while (!finished()) {
    BERTIE_ASSIGN_OR_RETURN(bool going_on, RunSteps());
    if (going_on) {
      BERTIE_ASSIGN_OR_RETURN(going_on, EndEpoch());
    }
    if (!going_on) {
      BERTIE_RETURN_IF_ERROR(ShowState(Boundary::kStop));
      outcome.interrupted = true;
      break;
    }
  }
  outcome.epochs = position_.epoch - 1;
  outcome.stopped_early = !outcome.interrupted && outcome.epochs < options_.epochs;
  outcome.selection = position_.selection;
  return outcome;
}

Status Trainer::ShowState(Boundary boundary) {
  if (!hooks_->on_boundary) return {};
  return hooks_->on_boundary({position_, optimizer_, model_, total_steps(), finished()}, boundary);
}

Result<bool> Trainer::RunSteps() {
  const auto batches = Batches(position_.epoch);
  const int64_t steps = StepsOf(position_.epoch);
  const auto group = static_cast<size_t>(options_.gradient_accumulation);
  while (position_.epoch_step < steps) {
    if (Stopped()) return false;
    const size_t first = static_cast<size_t>(position_.epoch_step) * group;
    BERTIE_RETURN_IF_ERROR(
        RunStep(Passes(batches).subspan(first, std::min(group, batches.size() - first))));
    if (position_.epoch_step < steps) {
      BERTIE_RETURN_IF_ERROR(ShowState(Boundary::kStep));
    }
  }
  return !Stopped();
}

// Gradients of all passes, the norm, the update.
Status Trainer::RunStep(Passes passes) {
  const auto start = Clock::now();
  model::ParameterStore& parameters = model_.parameters();
  StepReport report;
  report.sentences = CountSentences(passes);
  if (ranks_) BeginRanksStep(passes);
  const double weight = TotalWeight(passes, train_.targets, options_.class_weights);
  double loss = 0;
  for (size_t i = 0; i < passes.size(); ++i) {
    BERTIE_ASSIGN_OR_RETURN(const double sum,
                            Accumulate(passes[i], position_.passes + i + 1,
                                       1.0f / static_cast<float>(weight), i + 1 == passes.size()));
    loss += sum;
  }
  if (ranks_) {
    ranks_stop_ = HasStopSign();
    BERTIE_RETURN_IF_ERROR(ranks_->EndStep(loss, ranks_stop_));
    report.waited = ranks_->waited();
  }
  report.loss = loss / weight;
  report.gradient_norm = parameters.GradientNorm(pool_);
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm)) {
    return DivergenceError(position_.step + 1, report.loss, report.gradient_norm, parameters);
  }
  report.learning_rate = options_.learning_rate * ScheduleFactor(options_.schedule, position_.step,
                                                                 total_steps(), warmup_steps_);
  float scale = 1;
  if (options_.max_grad_norm > 0) {
    scale =
        static_cast<float>(std::min(1.0, options_.max_grad_norm / (report.gradient_norm + 1e-6)));
  }
  optimizer_.Step(parameters, static_cast<float>(report.learning_rate), scale, pool_);
  Advance(passes, report, SecondsSince(start));
  return {};
}

void Trainer::Advance(Passes passes, const StepReport& step, double seconds) {
  ++position_.epoch_step;
  ++position_.step;
  position_.passes += passes.size();
  position_.loss_sum += step.loss * static_cast<double>(step.sentences);
  position_.sentences += step.sentences;
  position_.seconds += seconds;
  if (!hooks_->on_step) return;
  StepReport report = step;
  report.epoch = position_.epoch;
  report.step = position_.step;
  report.total_steps = total_steps();
  report.sentences = position_.sentences;
  report.seconds = seconds;
  hooks_->on_step(report);
}

// The batch's loss: with several ranks, that of this rank's share.
Result<double> Trainer::Accumulate(std::span<const size_t> indices, uint64_t pass, float scale,
                                   bool last) {
  model::TrainingPass work{&batch_, {}, scale, options_.seed, pass};
  if (ranks_) {
    indices = ShareOf(indices, lengths_, ranks_->rank(), ranks_->size());
    // Each rank has masks of its own, as its batches' rows are others.
    work.dropout_seed += static_cast<uint64_t>(ranks_->rank()) * 0x9e3779b97f4a7c15u;
    if (last) work.on_gradients = [this](int64_t from) { ranks_->GradientsReady(from); };
  }
  batch_.Clear();
  labels_.clear();
  targets_.clear();
  const Targets& targets = train_.targets;
  const size_t width = targets.values.size() / train_.encodings.size();
  for (size_t index : indices) {
    batch_.Add(train_.encodings[index].ids, train_.encodings[index].type_ids);
    if (!targets.labels.empty()) labels_.push_back(targets.labels[index]);
    const auto row = targets.values.begin() + static_cast<ptrdiff_t>(index * width);
    targets_.insert(targets_.end(), row, row + static_cast<ptrdiff_t>(width));
  }
  work.labels = labels_;
  work.targets = targets_;
  work.class_weights = options_.class_weights;
  if (model_.has_frozen_layers()) {
    BERTIE_ASSIGN_OR_RETURN(work.frozen_output,
                            frozen_outputs_.Get(model_, train_, indices, pool_));
  }
  BERTIE_ASSIGN_OR_RETURN(auto result, model_.Accumulate(work, pool_));
  return result.loss_sum;
}

void Trainer::BeginRanksStep(Passes passes) {
  std::vector<int32_t> ids;
  for (const auto& pass : passes) {
    for (size_t index : pass) {
      const auto& sentence = train_.encodings[index].ids;
      ids.insert(ids.end(), sentence.begin(), sentence.end());
    }
  }
  ranks_->BeginStep(ids);
}

Result<bool> Trainer::EndEpoch() {
  EpochReport report;
  report.epoch = position_.epoch;
  report.steps = position_.step;
  report.train_loss = position_.loss_sum / static_cast<double>(position_.sentences);
  report.seconds = position_.seconds;
  report.sentences_per_s = static_cast<double>(position_.sentences) / position_.seconds;
  const auto start = Clock::now();
  auto test = Test();
  if (!test.ok() && test.error().code == ErrorCode::kCancelled) return false;
  BERTIE_ASSIGN_OR_RETURN(report.test, std::move(test));
  report.test_seconds = SecondsSince(start);
  Position next;
  next.epoch = position_.epoch + 1;
  next.step = position_.step;
  next.passes = position_.passes;
  next.selection = position_.selection;
  report.best = SelectEpoch(options_.selection, report.epoch, report.test, next.selection);
  report.selection = next.selection;
  if (hooks_->on_epoch) BERTIE_RETURN_IF_ERROR(hooks_->on_epoch(report, model_));
  position_ = next;
  BERTIE_RETURN_IF_ERROR(ShowState(Boundary::kEpoch));
  return true;
}

Result<std::optional<Metrics>> Trainer::Test() {
  if (test_ == nullptr) return std::optional<Metrics>();
  BERTIE_ASSIGN_OR_RETURN(
      const auto classifier,
      model::Classifier::Create(model_.parameters().View(model_.config()), pool_));
  EvaluatorOptions evaluation;
  evaluation.batch_size = options_.test_batch_size;
  evaluation.threshold = options_.threshold;
  if (ranks_) {
    BERTIE_ASSIGN_OR_RETURN(Metrics shared,
                            ranks_->Evaluate(classifier, *test_, evaluation, pool_));
    return std::optional<Metrics>(std::move(shared));
  }
  evaluation.stop = hooks_->stop;
  BERTIE_ASSIGN_OR_RETURN(Metrics metrics, Evaluate(classifier, *test_, evaluation, pool_));
  return std::optional<Metrics>(std::move(metrics));
}

Result<TrainOutcome> Train(model::TrainableClassifier& model, const EncodedDataset& train,
                           const EncodedDataset* test, const TrainerOptions& options,
                           const TrainerHooks& hooks, ThreadPool& pool) {
  return Trainer(model, train, test, options, pool).Run(hooks);
}

}  // namespace bertie::train
