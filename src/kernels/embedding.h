// The sum of word, position and token-type embeddings.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/packed_matrix.h"

namespace bertie::kernels {

struct EmbeddingInput {
  const int32_t* token_ids = nullptr;               // [tokens]
  const int32_t* type_ids = nullptr;                // [tokens]
  const int32_t* cumulative_seq_lengths = nullptr;  // [sentences + 1]; positions count from 0
  int64_t sentences = 0;
  int64_t hidden = 0;
};

// A table's rows, one after another: float, the bits of bf16, or int8 to be multiplied by its row's
// scale.
struct WordRows {
  const void* values = nullptr;
  WeightType type = WeightType::kF32;
  const float* scales = nullptr;  // of int8
};

struct EmbeddingTables {
  WordRows word;                    // [vocabulary, hidden]
  const float* position = nullptr;  // [max positions, hidden]
  const float* type = nullptr;      // [types, hidden]
};

// out[tokens, hidden]. Every id must be in its table.
void Embed(const EmbeddingInput& input, const EmbeddingTables& tables, float* out,
           ThreadPool& pool);

struct EmbeddingGradients {
  float* word = nullptr;  // [vocabulary, hidden]; rows of the batch's tokens are added to
  float* position = nullptr;
  float* type = nullptr;
};

// Adds d_out[tokens, hidden] to the rows it came from.
void EmbedBackward(const EmbeddingInput& input, const float* d_out,
                   const EmbeddingGradients& gradients, ThreadPool& pool);

}  // namespace bertie::kernels
