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

// Holds both moments of a store's parameters. Not thread-safe.
class AdamW {
 public:
  AdamW(const model::ParameterStore& parameters, const AdamWOptions& options);

  // One step with the store's gradients times gradient_scale.
  // Rows of the word embeddings that no batch has named have zero moments, so that only decay moves
  // them: they are scaled, or left alone, instead of updated, with the same result bit for bit.
  void Step(model::ParameterStore& parameters, float learning_rate, float gradient_scale,
            ThreadPool& pool);

  // What a checkpoint holds: the steps done, and the moments, laid out as the store's values. The
  // store's ever-touched rows belong to it.
  int64_t steps() const { return step_; }
  void set_steps(int64_t steps) { step_ = steps; }
  float* moment1() { return moment1_.data(); }
  const float* moment1() const { return moment1_.data(); }
  float* moment2() { return moment2_.data(); }
  const float* moment2() const { return moment2_.data(); }

 private:
  void UpdateWordRows(model::ParameterStore& parameters, float learning_rate, float gradient_scale,
                      ThreadPool& pool);

  AdamWOptions options_;
  int64_t step_ = 0;
  Buffer moment1_;
  Buffer moment2_;
};

}  // namespace bertie::train
