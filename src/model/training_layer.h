// One encoder layer of a TrainableClassifier: forward with what backward needs kept, and backward.
// Private to model/.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/dropout.h"
#include "kernels/layer_norm.h"
#include "model/config.h"
#include "model/training_linear.h"
#include "tensor/buffer.h"

namespace bertie::model {

// A LayerNorm inside the flat parameters. Where it is not trained, its gradients are null.
struct NormRef {
  const float* gamma = nullptr;
  const float* beta = nullptr;
  float* d_gamma = nullptr;
  float* d_beta = nullptr;
};

struct LayerRef {
  LinearRef qkv;  // [3 hidden, hidden]: query, key, value
  LoraRef query_lora, value_lora;
  LinearRef attention_output;
  NormRef attention_norm;
  LinearRef intermediate;
  LinearRef output;
  NormRef output_norm;
};

// Inputs of a layer's products. Those in fp32 need them again in the backward pass; for those in
// bfloat16 what is kept is their rounding, and all layers share this memory.
struct LayerInputs {
  Buffer context;    // [rows, hidden]
  Buffer normed;     // [rows, hidden]: the attention's part behind its norm
  Buffer activated;  // [rows, intermediate]: `inner` behind GELU
};

// What a layer's forward pass keeps for its backward pass. `rows` counts the rows of queries and of
// everything behind attention: all tokens, or in the last layer the sentences.
struct LayerActivations {
  const float* input = nullptr;  // [tokens, hidden]: the layer below's output
  int64_t rows = 0;
  Buffer cls;                   // last layer: the sentences' first rows of input
  Buffer query;                 // last layer: queries of cls
  Buffer qkv;                   // [tokens, 3 hidden]; last layer: [tokens, 2 hidden], no queries
  Buffer query_low, value_low;  // x A^T of the adapters, [rows or tokens, rank]
  LayerInputs inputs;
  Buffer rounded_input, rounded_context, rounded_normed, rounded_activated;
  Buffer attention_sum, attention_mean, attention_inverse;
  Buffer inner;
  Buffer output_sum, output_mean, output_inverse;
  Buffer output;
};

// The shape of a batch, and what all layers share during one pass.
struct LayerContext : LinearContext {
  const Config* config = nullptr;
  const int32_t* offsets = nullptr;      // cumulative_seq_lengths
  const int32_t* cls_offsets = nullptr;  // 0, 1, ..., sentences
  int64_t sentences = 0;
  int64_t tokens = 0;
  uint64_t dropout_seed = 0;
  uint64_t step = 0;
  Buffer* scratch = nullptr;
  LayerInputs* shared = nullptr;  // instead of every layer's own

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
  Buffer low;  // [tokens, rank]
};

// Which layer, and what of its work is wanted.
struct LayerPlace {
  int64_t index = 0;           // from 0
  bool last = false;           // only the sentences' first tokens go on
  bool input_gradient = true;  // false: nothing below it is trained
};

// output is [rows, hidden]. Where products are in bfloat16 and there are no adapters, neither input
// nor output need live longer than the next layer's forward pass.
void LayerForward(const LayerRef& layer, const LayerPlace& place, const float* input, float* output,
                  LayerActivations& activations, const LayerContext& context);

// gradient holds the gradient by the output, [rows, hidden], and receives the one by the input,
// [tokens, hidden], where that is wanted; it has room for both.
void LayerBackward(const LayerRef& layer, const LayerPlace& place, LayerActivations& activations,
                   LayerGradients& scratch, float* gradient, const LayerContext& context);

}  // namespace bertie::model
