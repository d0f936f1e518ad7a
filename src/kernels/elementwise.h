// Operations on each element, and sums over all or over columns.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "tensor/buffer.h"

namespace bertie::kernels {

// y = GELU(x), the erf form. y may be x.
void Gelu(int64_t count, const float* x, float* y, ThreadPool& pool);

// dx = dy GELU'(x). dx may be dy.
void GeluBackward(int64_t count, const float* x, const float* dy, float* dx, ThreadPool& pool);

// y += x.
void Add(int64_t count, const float* x, float* y, ThreadPool& pool);

// sums[j] += the sum over rows of x[row, j], x being [rows, columns]: a bias's gradient.
void AddColumnSums(int64_t rows, int64_t columns, const float* x, float* sums, ThreadPool& pool);

// The sum of squares, in double, in an order that does not depend on the threads.
double SumOfSquares(int64_t count, const float* x, ThreadPool& pool);

// AdamW (arXiv 1711.05101, algorithm 2 with the schedule folded into learning_rate): one step of
// one group of parameters.
struct AdamWStep {
  float learning_rate = 0;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float eps = 1e-8f;
  float weight_decay = 0;
  float gradient_scale = 1;  // gradients are multiplied by it first: clipping
  int64_t step = 1;          // from 1, for the bias corrections
};

// Parameters, gradients and both moments in one pass over memory. The gradients become zero, ready
// to be added to: a pass of their own for that would cost as much as a third of this one. rounded,
// where it is not null, gets the new parameters in bfloat16.
void AdamWUpdate(const AdamWStep& step, int64_t count, float* gradient, float* parameter,
                 float* moment1, float* moment2, uint16_t* rounded, ThreadPool& pool);

}  // namespace bertie::kernels
