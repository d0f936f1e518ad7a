// The matrix products of a TrainableClassifier: Linear and its low-rank adapter, forward and
// backward. Private to model/.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/matmul.h"
#include "tensor/buffer.h"

namespace bertie::model {

// A Linear inside the flat parameters. Where it is not trained, its gradients are null.
struct LinearRef {
  const float* weight = nullptr;  // [out, in]
  const float* bias = nullptr;    // [out]
  float* d_weight = nullptr;
  float* d_bias = nullptr;
  int64_t out = 0;
  int64_t in = 0;
  const uint16_t* rounded = nullptr;  // the weight in bfloat16, where products are to take it

  // Rows [first, first + count) of the outputs, as a Linear of its own.
  LinearRef Slice(int64_t first, int64_t count) const {
    LinearRef slice{weight + first * in, bias + first, nullptr, nullptr, count, in, nullptr};
    if (rounded != nullptr) slice.rounded = rounded + first * in;
    if (d_weight != nullptr) {
      slice.d_weight = d_weight + first * in;
      slice.d_bias = d_bias + first;
    }
    return slice;
  }
};

// An adapter beside a Linear: y += scale * (x A^T) B^T.
struct LoraRef {
  const float* a = nullptr;  // [rank, in]; null: there is none
  const float* b = nullptr;  // [out, rank]
  float* d_a = nullptr;
  float* d_b = nullptr;
  int64_t rank = 0;
  int64_t in = 0;
  int64_t out = 0;
  float scale = 0;
};

// What all products of a pass share.
struct LinearContext {
  ThreadPool* pool = nullptr;
  kernels::MatMulScratch* matmul = nullptr;
  // The other operands of products whose weight is in bfloat16.
  Buffer* rounded_x = nullptr;
  Buffer* rounded_dy = nullptr;
};

// A Linear's input, [rows, in].
struct LinearInput {
  const float* values = nullptr;
  // Where the forward pass leaves it in bfloat16, if the weight is: the backward pass then needs no
  // other. Null: it is rounded twice.
  Buffer* rounded = nullptr;
};

// y[rows, out] = x W^T + b.
void LinearForward(const LinearRef& linear, const LinearInput& x, int64_t rows, float* y,
                   const LinearContext& context);

// Adds to the Linear's gradients, if it is trained; dx[rows, in] = dy W, or dx += dy W when
// accumulate. dx may be null.
void LinearBackward(const LinearRef& linear, const LinearInput& x, const float* dy, int64_t rows,
                    float* dx, bool accumulate, const LinearContext& context);

// y[row, 0..out) += scale (x A^T) B^T, y_stride floats from row to row; keeps scale x A^T in `low`.
// Nothing where there is no adapter.
void LoraForward(const LoraRef& lora, const float* x, int64_t rows, float* y, int64_t y_stride,
                 Buffer& low, const LinearContext& context);

// The gradient by an adapter's output, and what its backward pass needs beside it.
struct LoraGradient {
  const float* dy = nullptr;  // [rows, out], dy_stride floats from row to row
  int64_t dy_stride = 0;
  int64_t rows = 0;
  const float* low = nullptr;  // what LoraForward kept
};

// Adds to the adapter's gradients, and its part to dx[rows, in], which may be null.
void LoraBackward(const LoraRef& lora, const float* x, const LoraGradient& gradient, float* dx,
                  Buffer& scratch, const LinearContext& context);

}  // namespace bertie::model
