// What the metrics of all problems have in common.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "train/metrics.h"

namespace bertie::train {

inline double Ratio(double numerator, double denominator) {
  return denominator == 0 ? 0 : numerator / denominator;
}

// ComputeMetrics' errors: logits of another number than sentences x num_labels, or not finite.
Status CheckLogits(std::span<const float> logits, size_t sentences, int num_labels);

// Precision, recall and F1 from support, predicted and the sentences that are in both.
void FillRatios(ClassMetrics& label, int64_t hits);

}  // namespace bertie::train
