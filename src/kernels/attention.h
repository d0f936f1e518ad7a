// Scaled dot-product attention (arXiv 1706.03762) on packed sentences: no padding, no mask.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/dropout.h"
#include "tensor/buffer.h"

namespace bertie::kernels {

// Sentence s has queries in rows [query_offsets[s], query_offsets[s + 1]) of q and of out, and keys
// and values in rows [key_offsets[s], key_offsets[s + 1]) of k and v. Head h is the columns
// [h * head_size, (h + 1) * head_size) of each. Strides count floats from row to row.
struct AttentionInput {
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  int64_t q_stride = 0;
  int64_t kv_stride = 0;
  const int32_t* query_offsets = nullptr;
  const int32_t* key_offsets = nullptr;
  int64_t sentences = 0;
  int64_t heads = 0;
  int64_t head_size = 0;
  Dropout dropout;  // of the probabilities
  // Attention's products multiply bf16 and sum in fp32 where the processor has that, and the
  // dropout is not active. The gradients' never do.
  bool bf16_products = false;
};

// out = softmax(q k^T / sqrt(head_size)) v for each sentence and head. scratch is one caller's.
void Attention(const AttentionInput& input, float* out, int64_t out_stride, Buffer& scratch,
               ThreadPool& pool);

struct AttentionGradients {
  float* dq = nullptr;  // as q, stride q_stride; written, not added to
  float* dk = nullptr;  // as k and v, stride kv_stride
  float* dv = nullptr;
  int64_t q_stride = 0;
  int64_t kv_stride = 0;
};

// Gradients of a scalar whose gradient by out is d_out. The probabilities are computed again, which
// for BERT's sentences costs less than keeping them.
void AttentionBackward(const AttentionInput& input, const float* d_out, int64_t out_stride,
                       const AttentionGradients& gradients, Buffer& scratch, ThreadPool& pool);

}  // namespace bertie::kernels
