#include "train/adamw.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/golden.h"
#include "model/trainable_classifier.h"
#include "train/schedule.h"

namespace bertie::train {
namespace {

using model::Golden;

// The recipe of tests/golden/README.md.
TEST(AdamW, TenStepsGiveThePyTorchLossesNormsAndWeights) {
  const Golden golden("tiny");
  ThreadPool pool(2);
  auto model = model::TrainableClassifier::Create(golden.LoadModel());
  ASSERT_TRUE(model.ok()) << model.error().message;
  model::ParameterStore& parameters = model->parameters();
  AdamW optimizer(parameters, {0.9f, 0.999f, 1e-8f, 0.01f});
  const auto losses = golden.Floats("step.losses");
  const auto norms = golden.Floats("step.grad_norms");
  const auto rates = golden.Floats("step.learning_rates");
  for (size_t step = 0; step < losses.size(); ++step) {
    const std::string prefix = "step." + std::to_string(step) + ".";
    const auto batch = golden.Batch(prefix);
    const auto labels = golden.Ints(prefix + "labels");
    const float rate = static_cast<float>(
        1e-3 * ScheduleFactor(Schedule::kLinear, static_cast<int64_t>(step), 10, 2));
    EXPECT_NEAR(rate, rates[step], 1e-9);
    parameters.ZeroGradients(pool);
    auto result =
        model->Accumulate({&batch, labels, 1.0f / static_cast<float>(labels.size()), 0, 0}, pool);
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_NEAR(result->loss_sum / static_cast<double>(labels.size()), losses[step], 1e-3) << step;
    const double norm = parameters.GradientNorm(pool);
    EXPECT_NEAR(norm, norms[step], 1e-3 * norms[step]) << step;
    optimizer.Step(parameters, rate, static_cast<float>(std::min(1.0, 1.0 / (norm + 1e-6))), pool);
  }
  for (const auto& slot : parameters.slots()) {
    // A key's bias has only rounding noise as its gradient, which Adam blows up to whole steps.
    if (slot.name.ends_with("self.key.bias")) continue;
    const auto expected = golden.Floats("final." + slot.name);
    const float* actual = parameters.values() + slot.offset;
    float worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      worst = std::max(worst, std::abs(actual[i] - expected[i]));
    }
    EXPECT_LE(worst, 1e-3f) << slot.name;
  }
}

// Rows that no batch names are left out of the update; the result must be that of updating all.
TEST(AdamW, SkippedRowsEndAsIfTheyWereUpdated) {
  const Golden golden("tiny");
  ThreadPool pool(1);
  for (float decay : {0.0f, 0.01f}) {
    auto sparse = model::TrainableClassifier::Create(golden.LoadModel());
    auto dense = model::TrainableClassifier::Create(golden.LoadModel());
    ASSERT_TRUE(sparse.ok() && dense.ok());
    std::vector<int32_t> every(static_cast<size_t>(sparse->config().vocab_size));
    for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<int32_t>(i);
    dense->parameters().TouchRows(every);
    AdamW sparse_optimizer(sparse->parameters(), {0.9f, 0.999f, 1e-8f, decay});
    AdamW dense_optimizer(dense->parameters(), {0.9f, 0.999f, 1e-8f, decay});
    for (int step = 0; step < 3; ++step) {
      const std::string prefix = "step." + std::to_string(step) + ".";
      const auto batch = golden.Batch(prefix);
      const auto labels = golden.Ints(prefix + "labels");
      for (auto* model : {&*sparse, &*dense}) {
        model->parameters().ZeroGradients(pool);
        ASSERT_TRUE(model->Accumulate({&batch, labels, 0.1f, 0, 0}, pool).ok());
      }
      sparse_optimizer.Step(sparse->parameters(), 1e-3f, 1, pool);
      dense_optimizer.Step(dense->parameters(), 1e-3f, 1, pool);
    }
    EXPECT_LT(sparse->parameters().ever_touched_rows().size(), every.size());
    const auto size = static_cast<size_t>(sparse->parameters().size());
    EXPECT_TRUE(std::equal(sparse->parameters().values(), sparse->parameters().values() + size,
                           dense->parameters().values()))
        << "decay " << decay;
  }
}

}  // namespace
}  // namespace bertie::train
