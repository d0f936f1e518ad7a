// Attention whose two products multiply bf16 and sum in fp32, for processors with AVX512_BF16:
// twice the speed of fp32. Scores, their softmax and the sums of the probabilities are fp32.
#pragma once

#include <cstdint>

#include "kernels/attention.h"

namespace bertie::kernels {

// Bytes of scratch, aligned to a cache line, for a sentence of `keys` keys.
int64_t BF16AttentionScratch(int64_t keys, int64_t head_size);

// One sentence and head, without dropout. Only where UseBF16Dot() (x86_features.h).
void BF16AttentionHead(const AttentionInput& input, int64_t sentence, int64_t head, float* out,
                       int64_t out_stride, std::byte* scratch);

}  // namespace bertie::kernels
