// One encoder layer of a TrainableClassifier: forward with what backward needs kept, and backward.
// Private to model/.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/dropout.h"
#include "kernels/layer_norm.h"
#include "kernels/matmul.h"
#include "model/config.h"
#include "tensor/buffer.h"

namespace bertie::model {

// A Linear or LayerNorm inside the flat parameters.
struct LinearRef {
  const float* weight = nullptr;  // [out, in]
  const float* bias = nullptr;    // [out]
  float* d_weight = nullptr;
  float* d_bias = nullptr;
  int64_t out = 0;
  int64_t in = 0;

  // Rows [first, first + count) of the outputs, as a Linear of its own.
  LinearRef Slice(int64_t first, int64_t count) const {
    return {weight + first * in, bias + first, d_weight + first * in, d_bias + first, count, in};
  }
};

struct NormRef {
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float* d_gamma = nullptr;
  float* d_beta = nullptr;
};

struct LayerRef {
  LinearRef qkv;  // [3 hidden, hidden]: query, key, value
  LinearRef attention_output;
  NormRef attention_norm;
  LinearRef intermediate;
  LinearRef output;
  NormRef output_norm;
};

// What a layer's forward pass keeps for its backward pass. `rows` counts the rows of queries and of
// everything behind attention: all tokens, or in the last layer the sentences.
struct LayerActivations {
  const float* input = nullptr;  // [tokens, hidden]: the layer below's output
  int64_t rows = 0;
  Buffer cls;    // last layer: the sentences' first rows of input
  Buffer query;  // last layer: queries of cls
  Buffer qkv;    // [tokens, 3 hidden]; last layer: [tokens, 2 hidden], no queries
  Buffer context;
  Buffer attention_sum, attention_normed, attention_mean, attention_inverse;
  Buffer inner, inner_gelu;
  Buffer output_sum, output, output_mean, output_inverse;
};

// The shape of a batch, and what all layers share during one pass.
struct LayerContext {
  const Config* config = nullptr;
  const int32_t* offsets = nullptr;      // cumulative_seq_lengths
  const int32_t* cls_offsets = nullptr;  // 0, 1, ..., sentences
  int64_t sentences = 0;
  int64_t tokens = 0;
  uint64_t dropout_seed = 0;
  uint64_t step = 0;
  ThreadPool* pool = nullptr;
  kernels::MatMulScratch* matmul = nullptr;
  Buffer* scratch = nullptr;

  kernels::Dropout DropoutAt(float probability, uint64_t place) const {
    return {probability, kernels::DropoutKey(dropout_seed, step, place)};
  }
};

// Gradient buffers that the layers use one after the other.
struct LayerGradients {
  Buffer inner;    // [rows, intermediate]
  Buffer normed;   // [rows, hidden]
  Buffer context;  // [rows, hidden]
  Buffer qkv;      // as LayerActivations::qkv
  Buffer query;
};

// y[rows, out] = x W^T + b.
void LinearForward(const LinearRef& linear, const float* x, int64_t rows, float* y,
                   const LayerContext& context);

// Adds to the Linear's gradients; dx[rows, in] = dy W, or dx += dy W when accumulate. dx may be
// null.
void LinearBackward(const LinearRef& linear, const float* x, const float* dy, int64_t rows,
                    float* dx, bool accumulate, const LayerContext& context);

// Layer `index` (from 0), `last` when only the sentences' first tokens are wanted. The output is
// activations.output, [rows, hidden].
void LayerForward(const LayerRef& layer, int64_t index, bool last, const float* input,
                  LayerActivations& activations, const LayerContext& context);

// gradient holds the gradient by the output, [rows, hidden], and receives the one by the input,
// [tokens, hidden]; it has room for both.
void LayerBackward(const LayerRef& layer, int64_t index, bool last,
                   const LayerActivations& activations, LayerGradients& scratch, float* gradient,
                   const LayerContext& context);

}  // namespace bertie::model
