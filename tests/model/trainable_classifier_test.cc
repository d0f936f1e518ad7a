#include "model/trainable_classifier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/onednn_matmul.h"
#include "model/golden.h"

namespace bertie::model {
namespace {

float LargestMagnitude(std::span<const float> values) {
  float largest = 0;
  for (float value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

class TrainableGolden : public testing::TestWithParam<const char*> {};

TEST_P(TrainableGolden, LossAndEveryGradientAreThoseOfPyTorch) {
  const Golden golden(GetParam());
  ThreadPool pool(2);
  auto model = TrainableClassifier::Create(golden.LoadModel());
  ASSERT_TRUE(model.ok()) << model.error().message;
  const PackedBatch batch = golden.Batch();
  const auto labels = golden.Ints("labels");
  TrainingPass pass;
  pass.batch = &batch;
  pass.labels = labels;
  pass.gradient_scale = 1.0f / static_cast<float>(labels.size());
  auto result = model->Accumulate(pass, pool);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_NEAR(result->loss_sum / static_cast<double>(labels.size()), golden.Floats("loss")[0],
              1e-4);
  const auto logits = golden.Floats("logits");
  for (size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(result->logits[i], logits[i], 1e-4);
  for (const auto& slot : model->parameters().slots()) {
    const auto expected = golden.Floats("grad." + slot.name);
    ASSERT_EQ(expected.size(), static_cast<size_t>(slot.count)) << slot.name;
    // A key's bias moves all scores of a query alike, so that its gradient is rounding noise.
    const float tolerance =
        slot.name.ends_with("self.key.bias") ? 1e-6f : 1e-3f * LargestMagnitude(expected);
    const float* actual = model->parameters().gradients() + slot.offset;
    float worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      worst = std::max(worst, std::abs(actual[i] - expected[i]));
    }
    EXPECT_LE(worst, tolerance) << slot.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TrainableGolden, testing::Values("tiny", "head64"));

class TargetGolden : public testing::TestWithParam<ProblemType> {};

// tests/golden/targets.safetensors: the loss of transformers by problem_type, on tiny/'s first
// batch.
TEST_P(TargetGolden, LossAndEveryGradientAreThoseOfPyTorch) {
  const Golden golden("tiny");
  const GoldenTargets reference;
  const std::string kind = GetParam() == ProblemType::kRegression ? "regression" : "multi_label";
  ThreadPool pool(2);
  auto model = TrainableClassifier::Create(CheckpointFor(GetParam(), golden.LoadModel()));
  ASSERT_TRUE(model.ok()) << model.error().message;
  const PackedBatch batch = golden.Batch("step.0.");
  const auto targets = reference.Floats(kind + ".targets.0");
  TrainingPass pass;
  pass.batch = &batch;
  pass.targets = targets;
  pass.gradient_scale = 1.0f / static_cast<float>(batch.size());
  const auto result = model->Accumulate(pass, pool);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_NEAR(result->loss_sum / static_cast<double>(batch.size()),
              reference.Floats(kind + ".losses")[0], 1e-4);
  for (const auto& slot : model->parameters().slots()) {
    const auto expected = reference.Floats(kind + ".grad." + slot.name);
    ASSERT_EQ(expected.size(), static_cast<size_t>(slot.count)) << slot.name;
    const float tolerance =
        slot.name.ends_with("self.key.bias") ? 1e-6f : 1e-3f * LargestMagnitude(expected);
    const float* actual = model->parameters().gradients() + slot.offset;
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], tolerance) << slot.name << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Problems, TargetGolden,
                         testing::Values(ProblemType::kMultiLabel, ProblemType::kRegression));

TEST(TrainableClassifier, AnswersOfAnotherKindAreRefused) {
  const Golden golden("tiny");
  ThreadPool pool(1);
  const PackedBatch batch = golden.Batch();
  const std::vector<float> numbers(5, 1), weights(3, 1);
  const auto labels = golden.Ints("labels");
  const auto message = [&](ProblemType problem, const TrainingPass& pass) {
    auto model = TrainableClassifier::Create(CheckpointFor(problem, golden.LoadModel()));
    EXPECT_TRUE(model.ok());
    const auto result = model->Accumulate(pass, pool);
    return result.ok() ? std::string() : result.error().message;
  };
  TrainingPass with_labels{&batch, labels};
  EXPECT_EQ(message(ProblemType::kSingleLabel, with_labels), "");
  EXPECT_EQ(message(ProblemType::kMultiLabel, with_labels), "found 0 targets, expected 15");
  TrainingPass with_numbers{&batch, {}};
  with_numbers.targets = numbers;
  EXPECT_EQ(message(ProblemType::kRegression, with_numbers), "");
  EXPECT_EQ(message(ProblemType::kMultiLabel, with_numbers), "found 5 targets, expected 15");
  EXPECT_EQ(message(ProblemType::kSingleLabel, with_numbers), "found 0 labels, expected 5");
  with_numbers.class_weights = weights;
  EXPECT_EQ(message(ProblemType::kRegression, with_numbers),
            "found 3 class weights in a regression, expected 0");
}

std::vector<float> GradientsWithDropout(int threads, uint64_t step, Golden& golden) {
  ThreadPool pool(threads);
  Checkpoint checkpoint = golden.LoadModel();
  checkpoint.config.hidden_dropout_prob = 0.1f;
  checkpoint.config.attention_probs_dropout_prob = 0.1f;
  checkpoint.config.classifier_dropout = 0.1f;
  auto model = TrainableClassifier::Create(checkpoint);
  if (!model.ok()) return {};
  const PackedBatch batch = golden.Batch();
  const auto labels = golden.Ints("labels");
  TrainingPass pass{&batch, labels, 0.2f, 11, step};
  if (!model->Accumulate(pass, pool).ok()) return {};
  const float* gradients = model->parameters().gradients();
  return {gradients, gradients + model->parameters().size()};
}

TEST(TrainableClassifier, SameSeedGivesTheSameBits) {
  Golden golden("head64");
  const auto one = GradientsWithDropout(1, 3, golden);
  ASSERT_FALSE(one.empty());
  EXPECT_EQ(one, GradientsWithDropout(1, 3, golden));
  for (int threads : {2, 3}) {
    const auto more = GradientsWithDropout(threads, 3, golden);
    EXPECT_EQ(more, GradientsWithDropout(threads, 3, golden));
    ASSERT_EQ(one.size(), more.size());
    // oneDNN's order of sums may depend on how a product is shared out; ours does not.
    const float tolerance = kernels::UseOneDnn() ? 1e-4f : 0.0f;
    for (size_t i = 0; i < one.size(); ++i) ASSERT_NEAR(one[i], more[i], tolerance) << i;
  }
  EXPECT_NE(one, GradientsWithDropout(1, 4, golden)) << "each step draws its own masks";
}

// Along any direction the loss must change as the gradient says, dropout included: this checks that
// the masks of both passes are one.
TEST(TrainableClassifier, GradientsWithDropoutPredictTheLoss) {
  Golden golden("tiny");
  ThreadPool pool(2);
  Checkpoint checkpoint = golden.LoadModel();
  checkpoint.config.hidden_dropout_prob = 0.2f;
  checkpoint.config.attention_probs_dropout_prob = 0.2f;
  checkpoint.config.classifier_dropout = 0.2f;
  auto model = TrainableClassifier::Create(checkpoint);
  ASSERT_TRUE(model.ok());
  const PackedBatch batch = golden.Batch();
  const auto labels = golden.Ints("labels");
  TrainingPass pass{&batch, labels, 1.0f, 5, 9};
  ParameterStore& parameters = model->parameters();
  ASSERT_TRUE(model->Accumulate(pass, pool).ok());
  const std::vector<float> gradient(parameters.gradients(),
                                    parameters.gradients() + parameters.size());
  const double norm = parameters.GradientNorm(pool);
  const float step = static_cast<float>(1e-3 / norm);
  auto loss_at = [&](float sign) {
    for (int64_t i = 0; i < parameters.size(); ++i) {
      parameters.values()[i] += sign * step * gradient[static_cast<size_t>(i)];
    }
    const double loss = model->Accumulate(pass, pool)->loss_sum;
    for (int64_t i = 0; i < parameters.size(); ++i) {
      parameters.values()[i] -= sign * step * gradient[static_cast<size_t>(i)];
    }
    return loss;
  };
  const double slope = (loss_at(1) - loss_at(-1)) / 2e-3;
  EXPECT_NEAR(slope / norm, 1.0, 0.02);
}

TEST(TrainableClassifier, RefusesALabelThatIsNotThere) {
  Golden golden("tiny");
  ThreadPool pool(1);
  auto model = TrainableClassifier::Create(golden.LoadModel());
  ASSERT_TRUE(model.ok());
  const PackedBatch batch = golden.Batch();
  const std::vector<int32_t> labels(static_cast<size_t>(batch.size()), 3);
  auto result = model->Accumulate({&batch, labels, 1, 0, 0}, pool);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("label 3, expected 0 to 2"), std::string::npos);
}

}  // namespace
}  // namespace bertie::model
