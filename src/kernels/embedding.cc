#include "kernels/embedding.h"

#include <algorithm>

namespace bertie::kernels {
namespace {

// Copies and additions of whole rows: the compiler's own vectors are as fast as memory.
void AddRow(int64_t count, const float* __restrict x, float* __restrict y) {
  for (int64_t j = 0; j < count; ++j) y[j] += x[j];
}

}  // namespace

void Embed(const EmbeddingInput& input, const EmbeddingTables& tables, float* out,
           ThreadPool& pool) {
  const int64_t hidden = input.hidden;
  pool.ParallelFor(input.sentences, [&](int64_t sentence, int) {
    const int64_t first = input.cumulative_seq_lengths[sentence];
    const int64_t last = input.cumulative_seq_lengths[sentence + 1];
    for (int64_t t = first; t < last; ++t) {
      float* row = out + t * hidden;
      const float* word = tables.word + input.token_ids[t] * hidden;
      std::copy(word, word + hidden, row);
      AddRow(hidden, tables.type + input.type_ids[t] * hidden, row);
      AddRow(hidden, tables.position + (t - first) * hidden, row);
    }
  });
}

void EmbedBackward(const EmbeddingInput& input, const float* d_out,
                   const EmbeddingGradients& gradients, ThreadPool& pool) {
  // Stripes of columns: each table's element is one worker's alone, added to in token order.
  constexpr int64_t kStripe = 64;
  const int64_t hidden = input.hidden;
  pool.ParallelFor((hidden + kStripe - 1) / kStripe, [&](int64_t stripe, int) {
    const int64_t j = stripe * kStripe;
    const int64_t count = std::min(kStripe, hidden - j);
    for (int64_t sentence = 0; sentence < input.sentences; ++sentence) {
      const int64_t first = input.cumulative_seq_lengths[sentence];
      for (int64_t t = first; t < input.cumulative_seq_lengths[sentence + 1]; ++t) {
        const float* row = d_out + t * hidden + j;
        AddRow(count, row, gradients.word + input.token_ids[t] * hidden + j);
        AddRow(count, row, gradients.type + input.type_ids[t] * hidden + j);
        AddRow(count, row, gradients.position + (t - first) * hidden + j);
      }
    }
  });
}

}  // namespace bertie::kernels
