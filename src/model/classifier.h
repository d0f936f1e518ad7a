// A BertForSequenceClassification made ready for inference: weights packed for the kernels.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/batch.h"
#include "model/checkpoint.h"
#include "model/classifier_weights.h"
#include "model/config.h"

namespace bertie::model {

// Immutable after it is made; Forward may be called from several threads at once, each with its own
// pool. Memory for activations is kept between calls, one set for each concurrent caller.
class Classifier {
 public:
  explicit Classifier(ClassifierWeights weights);

  // With the checkpoint's weights in fp32 (PackWeights).
  static Result<Classifier> Create(const Checkpoint& checkpoint, ThreadPool& pool);

  Classifier(Classifier&&) noexcept;
  Classifier& operator=(Classifier&&) noexcept;
  ~Classifier();

  const Config& config() const;

  // Logits [batch.size(), num_labels()], row-major. Every id must be in its table (ids and type ids
  // below the vocabulary's sizes, sentences no longer than max_position_embeddings): an
  // kInvalidArgument error says which is not. A sentence's logits do not depend on its batch.
  Result<std::vector<float>> Forward(const PackedBatch& batch, ThreadPool& pool) const;

  // The same logits. `threads` is called on this thread before each layer, for the pool that the
  // layer is to be computed with; no layer is under way then, so that it may give the threads of
  // the last one to others, or run another Forward with them. All threads of a pool work on one
  // layer together, which for many short sentences is a little slower.
  Result<std::vector<float>> Forward(const PackedBatch& batch,
                                     const std::function<ThreadPool&()>& threads) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::model
