#include "kernels/target_losses.h"

#include <algorithm>
#include <cmath>

namespace bertie::kernels {

double BinaryCrossEntropy(const TargetLoss& loss, std::span<const float> positive_weights) {
  const auto columns = static_cast<size_t>(loss.columns);
  double total = 0;
  for (size_t i = 0; i < loss.targets.size(); ++i) {
    const double x = loss.logits[i];
    const double target = loss.targets[i];
    const double weight = positive_weights.empty() ? 1 : positive_weights[i % columns];
    // log(1 + exp(-|x|)) never overflows; -log sigmoid(x) is it, plus -x where x is negative.
    const double tail = std::log1p(std::exp(-std::abs(x)));
    const double if_positive = tail + std::max(-x, 0.0), if_negative = tail + std::max(x, 0.0);
    total += weight * target * if_positive + (1 - target) * if_negative;
    if (loss.d_logits == nullptr) continue;
    const double sigmoid = x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
    const double slope = (1 - target) * sigmoid - weight * target * (1 - sigmoid);
    loss.d_logits[i] =
        static_cast<float>(slope * static_cast<double>(loss.scale) / static_cast<double>(columns));
  }
  return total / static_cast<double>(columns);
}

double SquaredError(const TargetLoss& loss) {
  const auto columns = static_cast<double>(loss.columns);
  double total = 0;
  for (size_t i = 0; i < loss.targets.size(); ++i) {
    const double difference =
        static_cast<double>(loss.logits[i]) - static_cast<double>(loss.targets[i]);
    total += difference * difference;
    if (loss.d_logits == nullptr) continue;
    loss.d_logits[i] =
        static_cast<float>(2 * difference * static_cast<double>(loss.scale) / columns);
  }
  return total / columns;
}

}  // namespace bertie::kernels
