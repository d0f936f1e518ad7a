#include "kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>

namespace bertie::kernels {

double CrossEntropy(const float* logits, std::span<const int32_t> labels, int64_t classes,
                    float scale, float* d_logits, std::span<const float> class_weights) {
  double total = 0;
  for (size_t row = 0; row < labels.size(); ++row) {
    const float* x = logits + static_cast<int64_t>(row) * classes;
    const float top = *std::max_element(x, x + classes);
    double sum = 0;
    for (int64_t j = 0; j < classes; ++j) sum += std::exp(static_cast<double>(x[j] - top));
    const float weight =
        class_weights.empty() ? 1 : class_weights[static_cast<size_t>(labels[row])];
    total += weight * (std::log(sum) - static_cast<double>(x[labels[row]] - top));
    if (d_logits == nullptr) continue;
    float* dx = d_logits + static_cast<int64_t>(row) * classes;
    for (int64_t j = 0; j < classes; ++j) {
      const double p = std::exp(static_cast<double>(x[j] - top)) / sum;
      dx[j] = static_cast<float>(p - (j == labels[row] ? 1.0 : 0.0)) * (weight * scale);
    }
  }
  return total;
}

}  // namespace bertie::kernels
