// Softmax cross-entropy over a batch of logits.
#pragma once

#include <cstdint>
#include <span>

namespace bertie::kernels {

// Returns the sum over the rows of -log softmax(logits)[label], in double; logits is
// [labels.size(), classes]. When d_logits is not null it becomes the gradient of that sum times
// `scale` (1 / batch size for the mean). class_weights: empty, or what each class's rows count for;
// PyTorch's mean is then the sum / the sum of the rows' weights.
double CrossEntropy(const float* logits, std::span<const int32_t> labels, int64_t classes,
                    float scale, float* d_logits, std::span<const float> class_weights = {});

}  // namespace bertie::kernels
