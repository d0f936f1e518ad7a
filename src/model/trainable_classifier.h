// A BertForSequenceClassification whose forward pass can be run backwards.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/batch.h"
#include "model/checkpoint.h"
#include "model/parameter_store.h"
#include "model/tuning.h"

namespace bertie::model {

struct TrainingPass {
  const PackedBatch* batch = nullptr;
  std::span<const int32_t>
      labels;                // one for each sentence, where ProblemOf(config) is kSingleLabel
  float gradient_scale = 1;  // of the sum of losses: 1 / batch size for the mean
  uint64_t dropout_seed = 0;
  uint64_t step = 0;  // with the seed, chooses the dropout masks
  // What RunFrozen gave for the batch's sentences, in the batch's order: the frozen part is not
  // run again. Null: it is.
  const float* frozen_output = nullptr;
  // Called during the backward pass: this pass adds no more to the gradients in [from, size) of
  // the flat buffer. from falls from call to call; nothing is said of what is final only at the
  // end. May be null.
  std::function<void(int64_t from)> on_gradients = {};
  // What a sentence's loss and gradient count for, by its label; with kMultiLabel what a label
  // counts for in the sentences that have it (PyTorch's pos_weight); empty: 1. None in regression.
  std::span<const float> class_weights = {};
  // Instead of labels: [sentences, labels], 0 or 1 with kMultiLabel, numbers with kRegression.
  std::span<const float> targets = {};
};

struct TrainingResult {
  // Over the batch's sentences, times their weights: of cross-entropies, or of each sentence's mean
  // binary cross-entropy or squared error over the labels.
  double loss_sum = 0;
  std::vector<float> logits;  // [sentences, labels], with dropout
};

// Not thread-safe. Dropout probabilities are those of the configuration; layers that keep their
// values (TuningOptions::freeze_layers) run without dropout, so that a sentence's way through them
// is always the same and need be gone only once.
class TrainableClassifier {
 public:
  // kInvalidArgument for more frozen layers than there are.
  static Result<TrainableClassifier> Create(const Checkpoint& checkpoint,
                                            const TuningOptions& tuning = {});

  TrainableClassifier(TrainableClassifier&&) noexcept;
  TrainableClassifier& operator=(TrainableClassifier&&) noexcept;
  ~TrainableClassifier();

  const Config& config() const;
  ParameterStore& parameters();

  // Whether there are frozen layers, whose output can be kept.
  bool has_frozen_layers() const;
  // Rows of RunFrozen's output for a sentence of so many tokens.
  int64_t FrozenRows(int64_t tokens) const;
  // The output of the highest frozen layer, [rows, hidden]: rows of all tokens, or where every
  // layer is frozen one a sentence. Valid until the next call.
  Result<const float*> RunFrozen(const PackedBatch& batch, ThreadPool& pool);

  // One forward and backward pass: gradients are added to parameters().gradients(). The same seed,
  // step, batch and number of threads give the same bits (any number of threads does, where
  // kernels::UseOneDnn() is false).
  Result<TrainingResult> Accumulate(const TrainingPass& pass, ThreadPool& pool);

 private:
  struct Impl;
  explicit TrainableClassifier(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::model
