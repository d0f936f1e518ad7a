#include "kernels/target_losses.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace bertie::kernels {
namespace {

TEST(TargetLosses, LargeLogitsOverflowNowhere) {
  const std::vector<float> logits = {1000, -1000, 1000, -1000};
  const std::vector<float> targets = {1, 0, 0, 1};
  std::vector<float> d(4);
  // Right beyond doubt twice, wrong beyond doubt twice.
  EXPECT_EQ(BinaryCrossEntropy({logits.data(), targets, 2, 1, d.data()}), 1000);
  EXPECT_EQ(d, (std::vector<float>{0, 0, 0.5f, -0.5f}));
}

// Against the definition, by differences.
TEST(TargetLosses, GradientsAreTheSlopes) {
  const std::vector<float> targets = {1, 0, 0.25f, 1, 0, 1};
  const std::vector<float> weights = {0.5f, 2, 3};
  std::vector<float> logits = {0.5f, -1, 2, -0.25f, 0.75f, 0}, d(6), ignored(6);
  const auto losses = {
      +[](const TargetLoss& loss, std::span<const float> w) { return BinaryCrossEntropy(loss, w); },
      +[](const TargetLoss& loss, std::span<const float>) { return SquaredError(loss); }};
  for (const auto& loss : losses) {
    const float scale = 0.5f;
    loss({logits.data(), targets, 3, scale, d.data()}, weights);
    for (size_t i = 0; i < logits.size(); ++i) {
      const float x = logits[i], step = 1.0f / 64;
      logits[i] = x + step;
      const double above = loss({logits.data(), targets, 3, scale, nullptr}, weights);
      logits[i] = x - step;
      const double below = loss({logits.data(), targets, 3, scale, nullptr}, weights);
      logits[i] = x;
      EXPECT_NEAR(d[i], scale * (above - below) / (2 * step), 1e-4) << i;
    }
  }
}

}  // namespace
}  // namespace bertie::kernels
