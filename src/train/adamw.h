// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "model/parameter_store.h"
#include "tensor/buffer.h"

namespace bertie::train {

struct AdamWOptions {
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float eps = 1e-8f;
  float weight_decay = 0;  // not of biases and LayerNorm parameters
};

// Holds both moments of a store's trained parameters, at their places in the flat buffers; what is
// not trained has none, and no memory for them. Not thread-safe.
class AdamW {
 public:
  AdamW(const model::ParameterStore& parameters, const AdamWOptions& options);

  // One step with the store's gradients times gradient_scale.
  // Rows of the word embeddings that no batch has named have zero moments, so that only decay moves
  // them: they are scaled, or left alone, instead of updated, with the same result bit for bit.
  void Step(model::ParameterStore& parameters, float learning_rate, float gradient_scale,
            ThreadPool& pool);

 private:
  void UpdateWordRows(model::ParameterStore& parameters, float learning_rate, float gradient_scale,
                      ThreadPool& pool);

  AdamWOptions options_;
  int64_t step_ = 0;
  Buffer moment1_;
  Buffer moment2_;
};

}  // namespace bertie::train
