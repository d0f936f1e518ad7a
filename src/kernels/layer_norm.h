// Layer normalisation (arXiv 1607.06450) over rows, with the dropout and the residual sum that
// precede it in BERT.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/dropout.h"
#include "tensor/buffer.h"

namespace bertie::kernels {

struct LayerNormInput {
  int64_t rows = 0;
  int64_t columns = 0;
  float* x = nullptr;               // [rows, columns]
  const float* residual = nullptr;  // [rows, columns], or null for none
  Dropout dropout;                  // of x, before the residual is added
  const float* gamma = nullptr;     // [columns]
  const float* beta = nullptr;      // [columns]
  float eps = 1e-12f;
};

// y = normalise(dropout(x) + residual) gamma + beta. x becomes dropout(x) + residual, which the
// backward pass needs. mean and inverse_deviation, [rows], are written unless null. y may be x.
// Mean and variance take two passes: the one-pass form loses digits on outlier channels.
void LayerNorm(const LayerNormInput& input, float* y, float* mean, float* inverse_deviation,
               ThreadPool& pool);

struct LayerNormGradients {
  const float* dy = nullptr;
  const float* sum = nullptr;  // what LayerNorm left in x
  const float* mean = nullptr;
  const float* inverse_deviation = nullptr;
  const float* gamma = nullptr;
  float* d_sum = nullptr;  // [rows, columns]: the gradient by the residual, and by x before dropout
  float* d_gamma = nullptr;  // [columns], added to; null, as d_beta then is: not wanted
  float* d_beta = nullptr;   // [columns], added to
};

// d_sum may be dy. scratch is one caller's.
void LayerNormBackward(int64_t rows, int64_t columns, const LayerNormGradients& gradients,
                       Buffer& scratch, ThreadPool& pool);

}  // namespace bertie::kernels
