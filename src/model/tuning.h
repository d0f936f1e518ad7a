// Which parameters a fine-tuning run trains, and in which precision.
#pragma once

#include <cstdint>
#include <optional>

namespace bertie::model {

// Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) beside the query and value weights of each
// trained layer: W x + alpha / rank * B A x. W keeps its value; only A, B, the pooler and the
// classifier are trained.
struct LoraOptions {
  int64_t rank = 0;   // 0: no adapters
  double alpha = 16;  // the adapters' product is scaled by alpha / rank
  uint64_t seed = 1;  // of A's first values; B begins at zero
};

struct TuningOptions {
  // The embeddings and this many of the lowest layers keep their values; 0 keeps the embeddings
  // alone. Unset: everything is trained.
  std::optional<int64_t> freeze_layers;
  LoraOptions lora;
  // Products of the encoder's Linears take operands rounded to bfloat16 and sum in fp32; weights,
  // gradients and everything else stay fp32. Needs kernels::UseBF16().
  bool bf16 = false;

  bool trains_all() const { return !freeze_layers && lora.rank == 0; }
};

}  // namespace bertie::model
