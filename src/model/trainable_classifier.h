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

namespace bertie::model {

struct TrainingPass {
  const PackedBatch* batch = nullptr;
  std::span<const int32_t> labels;  // one for each sentence
  float gradient_scale = 1;         // of the sum of losses: 1 / batch size for the mean
  uint64_t dropout_seed = 0;
  uint64_t step = 0;  // with the seed, chooses the dropout masks
  // Called during the backward pass: this pass adds no more to the gradients in [from, size) of
  // the flat buffer. from falls from call to call; nothing is said of what is final only at the
  // end. May be null.
  std::function<void(int64_t from)> on_gradients = {};
};

struct TrainingResult {
  double loss_sum = 0;        // over the batch's sentences
  std::vector<float> logits;  // [sentences, labels], with dropout
};

// Not thread-safe. Dropout probabilities are those of the configuration.
class TrainableClassifier {
 public:
  static Result<TrainableClassifier> Create(const Checkpoint& checkpoint);

  TrainableClassifier(TrainableClassifier&&) noexcept;
  TrainableClassifier& operator=(TrainableClassifier&&) noexcept;
  ~TrainableClassifier();

  const Config& config() const;
  ParameterStore& parameters();

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
