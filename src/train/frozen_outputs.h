// What the frozen layers make of each sentence, kept from epoch to epoch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/trainable_classifier.h"
#include "tensor/buffer.h"
#include "train/evaluator.h"

namespace bertie::train {

// Sentences are run through the frozen layers when they are first asked for, and kept while they
// fit; the others are run again each time. With our own kernels a sentence's output does not depend
// on the batch it was run in, so that neither changes a result; where oneDNN multiplies (AVX-512)
// it may change last bits. Not thread-safe.
class FrozenOutputs {
 public:
  // Keeps max_bytes at most.
  FrozenOutputs(size_t sentences, int64_t max_bytes) : kept_(sentences), left_(max_bytes) {}

  // The frozen output, [rows, hidden], of the sentences `indices` (none twice) of data end to end,
  // as TrainingPass::frozen_output wants it. Valid until the next call.
  Result<const float*> Get(model::TrainableClassifier& model, const EncodedDataset& data,
                           std::span<const size_t> indices, ThreadPool& pool);

 private:
  std::vector<std::vector<float>> kept_;  // by sentence; empty: not kept
  int64_t left_ = 0;                      // bytes
  Buffer batch_;
};

}  // namespace bertie::train
