// The fine-tuning loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "comm/communicator.h"
#include "data/sampler.h"
#include "model/classifier.h"
#include "model/trainable_classifier.h"
#include "train/adamw.h"
#include "train/evaluator.h"
#include "train/frozen_outputs.h"
#include "train/metrics.h"
#include "train/position.h"
#include "train/ranks.h"
#include "train/schedule.h"
#include "train/selection.h"

namespace bertie::train {

struct TrainerOptions {
  int64_t epochs = 3;
  // Sentences of one forward and backward pass, all ranks' together.
  int64_t batch_size = 32;
  int64_t batch_tokens = 0;           // when not 0: tokens of one pass instead of batch_size
  int64_t gradient_accumulation = 1;  // passes of one optimiser step
  double learning_rate = 5e-5;
  Schedule schedule = Schedule::kLinear;
  double warmup_ratio = 0.1;  // share of all optimiser steps
  double weight_decay = 0.01;
  double max_grad_norm = 1.0;  // 0: no clipping
  // What a sentence counts for in the loss, by its label, all above 0; empty: all the same. The
  // loss of a step is then the weighted mean, as PyTorch's CrossEntropyLoss(weight) has it. Where a
  // sentence may have several labels: what a label counts for where it is, and the loss's mean is
  // the plain one (BCEWithLogitsLoss(pos_weight)). Metrics and the test's loss are not weighted.
  std::vector<float> class_weights;
  double threshold = kDefaultThreshold;  // of the test's metrics, with several labels
  uint64_t seed = 1;
  data::Order order = data::Order::kLengthGrouped;
  SelectionOptions selection;                      // anything but the default needs test data
  int64_t log_interval = 50;                       // optimiser steps
  int64_t frozen_output_bytes = int64_t{2} << 30;  // most memory for outputs of frozen layers
  int64_t test_batch_size = 256;                   // sentences
  comm::Wire wire = comm::Wire::kFloat32;          // of the gradients, between ranks
};

// After each optimiser step.
struct StepReport {
  int64_t epoch = 0;  // from 1
  int64_t step = 0;   // of the run, from 1
  int64_t total_steps = 0;
  int64_t sentences = 0;  // seen in this epoch
  double loss = 0;        // mean over the step's sentences, weighted where classes are
  double learning_rate = 0;
  double gradient_norm = 0;  // before clipping
  double seconds = 0;        // of the step
  double waited = 0;         // of these, for other ranks: sums that the backward pass did not hide
};

struct EpochReport {
  int64_t epoch = 0;
  int64_t steps = 0;      // of the run so far
  double train_loss = 0;  // mean over the epoch's sentences
  double seconds = 0;     // of training, without the test
  double sentences_per_s = 0;
  double test_seconds = 0;
  std::optional<Metrics> test;  // absent without test data
  bool best = true;             // so far, by TrainerOptions::selection: the model to keep
  Selection selection;          // with this epoch in it
};

// A run between two steps, as a checkpoint holds it. Valid during the call that shows it.
struct TrainingState {
  const Position& position;
  const AdamW& optimizer;
  model::TrainableClassifier& model;
  int64_t total_steps = 0;
  bool finished = false;  // nothing is left to do
};

// Why a run shows its state.
enum class Boundary {
  kStep,   // a step is done, and it was not an epoch's last
  kEpoch,  // an epoch is done, its test and on_epoch too
  kStop,   // the run is about to end, since it was told to stop
};

// Called in this order: on_step, then (at an epoch's end) on_epoch, then on_boundary. An error ends
// the run with it.
struct TrainerHooks {
  std::function<void(const StepReport&)> on_step;
  // The parameters are those after the epoch.
  std::function<Status(const EpochReport&, model::TrainableClassifier&)> on_epoch;
  std::function<Status(const TrainingState&, Boundary)> on_boundary;
  // Looked at between steps and within a test. True ends the run there: on_boundary is called with
  // kStop, and a run continued from that state gives what this one would have given.
  const std::atomic<bool>* stop = nullptr;
};

struct TrainOutcome {
  int64_t epochs = 0;  // whole ones, those before a resumption included
  bool interrupted = false;
  bool stopped_early = false;  // by TrainerOptions::selection.patience
  Selection selection;
};

// One run over the model, in place. With a communicator of several ranks it is one rank's part of
// the run: the ranks begin with rank 0's weights and position, share out each batch and the test,
// and have the same weights, losses and metrics after every step. A run of N ranks takes the steps
// of one rank alone, but for the order of the sums and, where there is dropout, the masks. Any
// rank's `stop` stops all.
//
// The same model, data, options and pool size give the same
// weights bit for bit, in one go or continued from any of its states. What the constructor gets
// must outlive the object; test may be null. Not thread-safe.
class Trainer {
 public:
  Trainer(model::TrainableClassifier& model, const EncodedDataset& train,
          const EncodedDataset* test, const TrainerOptions& options, ThreadPool& pool,
          comm::Communicator* communicator = nullptr);

  const Position& position() const { return position_; }
  AdamW& optimizer() { return optimizer_; }
  int64_t total_steps() const { return first_steps_.back(); }
  // Whether nothing is left to do.
  bool finished() const;

  // Continues from another run's state: the caller has put its weights into the model and its
  // moments into optimizer(). kInvalidData when no run with these options and data is ever there.
  Status ContinueFrom(const Position& position);

  // kInvalidData when a loss or a gradient is not finite: the message names the step and a tensor,
  // and the parameters are those before the step. kUnavailable when a rank was lost.
  Result<TrainOutcome> Run(const TrainerHooks& hooks);

 private:
  using Passes = std::span<const std::vector<size_t>>;

  std::vector<std::vector<size_t>> Batches(int64_t epoch) const;
  void CountSteps();
  int64_t StepsOf(int64_t epoch) const;
  bool HasStopSign() const { return hooks_->stop != nullptr && hooks_->stop->load(); }
  // Several ranks look once a step, together.
  bool Stopped() const { return ranks_ ? ranks_stop_ : HasStopSign(); }
  // Both return false when the run was stopped.
  Result<bool> RunSteps();
  Result<bool> EndEpoch();
  Status RunStep(Passes passes);
  Result<double> Accumulate(std::span<const size_t> indices, uint64_t pass, float scale, bool last);
  void BeginRanksStep(Passes passes);
  void Advance(Passes passes, const StepReport& step, double seconds);
  Result<std::optional<Metrics>> Test();
  Status ShowState(Boundary boundary);

  model::TrainableClassifier& model_;
  const EncodedDataset& train_;
  const EncodedDataset* test_;
  const TrainerOptions options_;
  ThreadPool& pool_;
  const TrainerHooks* hooks_ = nullptr;  // of the Run under way
  AdamW optimizer_;
  std::vector<int32_t> lengths_;
  std::vector<int64_t> first_steps_;  // steps before each epoch, and of all of them
  int64_t warmup_steps_ = 0;
  Position position_;
  model::PackedBatch batch_;
  std::vector<int32_t> labels_;
  std::vector<float> targets_;
  FrozenOutputs frozen_outputs_;
  std::unique_ptr<Ranks> ranks_;  // null with one rank
  bool ranks_stop_ = false;
};

// A Trainer's whole run from the start.
Result<TrainOutcome> Train(model::TrainableClassifier& model, const EncodedDataset& train,
                           const EncodedDataset* test, const TrainerOptions& options,
                           const TrainerHooks& hooks, ThreadPool& pool);

}  // namespace bertie::train
