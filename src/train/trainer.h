// The fine-tuning loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "data/sampler.h"
#include "model/classifier.h"
#include "model/trainable_classifier.h"
#include "train/evaluator.h"
#include "train/metrics.h"
#include "train/schedule.h"

namespace bertie::train {

struct TrainerOptions {
  int64_t epochs = 3;
  int64_t batch_size = 32;            // sentences of one forward and backward pass
  int64_t gradient_accumulation = 1;  // passes of one optimiser step
  double learning_rate = 5e-5;
  Schedule schedule = Schedule::kLinear;
  double warmup_ratio = 0.1;  // share of all optimiser steps
  double weight_decay = 0.01;
  double max_grad_norm = 1.0;  // 0: no clipping
  uint64_t seed = 1;
  data::Order order = data::Order::kLengthGrouped;
  int64_t log_interval = 50;      // optimiser steps
  int64_t test_batch_size = 256;  // sentences
};

// After each optimiser step.
struct StepReport {
  int64_t epoch = 0;  // from 1
  int64_t step = 0;   // of the run, from 1
  int64_t total_steps = 0;
  int64_t sentences = 0;  // seen in this epoch
  double loss = 0;        // mean over the step's sentences
  double learning_rate = 0;
  double gradient_norm = 0;  // before clipping
};

struct EpochReport {
  int64_t epoch = 0;
  int64_t steps = 0;      // of the run so far
  double train_loss = 0;  // mean over the epoch's sentences
  double seconds = 0;     // of training, without the test
  double sentences_per_s = 0;
  double test_seconds = 0;
  std::optional<Metrics> test;  // absent without test data
};

struct TrainerHooks {
  std::function<void(const StepReport&)> on_step;
  // The parameters are those after the epoch. An error ends the run with it.
  std::function<Status(const EpochReport&, model::TrainableClassifier&)> on_epoch;
  // Looked at between passes; true ends the run after the last whole epoch.
  const std::atomic<bool>* stop = nullptr;
};

struct TrainOutcome {
  int64_t epochs = 0;  // whole ones
  bool interrupted = false;
};

// Fine-tunes in place. test may be null. The same model, data, options and pool size give the same
// weights bit for bit. kInvalidData when a loss or a gradient is not finite: the message names the
// step, and the parameters are those before it.
Result<TrainOutcome> Train(model::TrainableClassifier& model, const EncodedDataset& train,
                           const EncodedDataset* test, const TrainerOptions& options,
                           const TrainerHooks& hooks, ThreadPool& pool);

}  // namespace bertie::train
