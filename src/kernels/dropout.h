// Dropout whose mask is a function of (key, element index): nothing is stored for the backward
// pass, and the mask does not depend on threads.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"

namespace bertie::kernels {

struct Dropout {
  float probability = 0;  // of an element being dropped; 0 <= probability < 1
  uint64_t key = 0;       // one for each place and step; see DropoutKey

  bool active() const { return probability > 0; }
};

// A key for one place (layer and operation) of one training step.
uint64_t DropoutKey(uint64_t seed, uint64_t step, uint64_t place);

// x[i] = kept(i) ? x[i] / (1 - probability) : 0, in place. Applied to a gradient it is its own
// backward pass.
void ApplyDropout(const Dropout& dropout, int64_t count, float* x, ThreadPool& pool);

}  // namespace bertie::kernels
