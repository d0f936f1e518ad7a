// Losses over logits that have a target each: binary cross-entropy and squared error.
#pragma once

#include <cstdint>
#include <span>

namespace bertie::kernels {

// logits and targets are [rows, columns], row-major. Both functions return the sum over the rows of
// a row's mean loss, in double; when d_logits is not null it becomes the gradient of that sum times
// `scale` (1 / rows for the mean over all elements, PyTorch's default).
struct TargetLoss {
  const float* logits = nullptr;
  std::span<const float> targets;
  int64_t columns = 1;
  float scale = 1;
  float* d_logits = nullptr;
};

// Of sigmoid(logit) against a target in [0, 1], as PyTorch's BCEWithLogitsLoss. positive_weights:
// empty, or its pos_weight, what each column's positive targets count for.
double BinaryCrossEntropy(const TargetLoss& loss, std::span<const float> positive_weights = {});

// (logit - target)^2, as PyTorch's MSELoss.
double SquaredError(const TargetLoss& loss);

}  // namespace bertie::kernels
