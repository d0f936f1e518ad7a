#include "train/precision_search.h"

#include <gtest/gtest.h>

#include <random>

#include "model/golden.h"

namespace bertie::train {
namespace {

class PrecisionSearch : public testing::Test {
 protected:
  PrecisionSearch() : checkpoint_(model::Golden("head64").LoadModel()) {
    std::mt19937 random(3);
    for (int i = 0; i < 60; ++i) {
      text::Encoding encoding;
      for (auto length = 3 + random() % 20; length > 0; --length) {
        const auto id = random() % static_cast<uint32_t>(checkpoint_.config.vocab_size);
        encoding.ids.push_back(static_cast<int32_t>(id));
      }
      encoding.type_ids.assign(encoding.ids.size(), 0);
      data_.encodings.push_back(std::move(encoding));
      data_.targets.labels.push_back(i % static_cast<int>(checkpoint_.config.num_labels()));
    }
  }

  SearchResult Lower(model::WeightType precision, const SearchOptions& options) {
    auto result = LowerPrecision(checkpoint_, precision, data_, options, pool_);
    EXPECT_TRUE(result.ok());
    return std::move(*result);
  }

  model::Checkpoint checkpoint_;
  EncodedDataset data_;
  ThreadPool pool_{2};
};

TEST_F(PrecisionSearch, FullPrecisionChangesNothing) {
  const auto result = Lower(model::WeightType::kF32, {});
  EXPECT_EQ(result.comparison.agreement, 1);
  EXPECT_EQ(result.comparison.largest_difference, 0);
  EXPECT_EQ(result.comparison.drop(), 0);
  EXPECT_TRUE(result.raised.empty());
}

TEST_F(PrecisionSearch, SeveralLabelsAndNumbersHaveAnAgreementOfTheirOwn) {
  const size_t labels = static_cast<size_t>(checkpoint_.config.num_labels());
  for (const ProblemType problem : {ProblemType::kMultiLabel, ProblemType::kRegression}) {
    const bool several = problem == ProblemType::kMultiLabel;
    if (!several) checkpoint_ = model::CheckpointFor(problem, std::move(checkpoint_));
    data_.targets = {problem, {}, {}};
    for (size_t i = 0; i < data_.encodings.size() * (several ? labels : 1); ++i) {
      data_.targets.values.push_back(static_cast<float>(i % 2));
    }
    const auto same = Lower(model::WeightType::kF32, {});
    EXPECT_NEAR(same.comparison.agreement, 1, 1e-12);
    EXPECT_EQ(same.comparison.drop(), 0);
    const auto lower = Lower(model::WeightType::kI8, {.bound = {0.0, 1.0}});
    EXPECT_GT(lower.comparison.agreement, 0.8);
    EXPECT_GT(lower.comparison.largest_difference, 0);
    EXPECT_EQ(lower.comparison.after.problem, problem);
  }
}

TEST_F(PrecisionSearch, ABoundThatHoldsRaisesNothing) {
  const auto result = Lower(model::WeightType::kI8, {.bound = {0.0, 1.0}});
  EXPECT_TRUE(result.raised.empty());
  EXPECT_GT(result.comparison.largest_difference, 0);
}

// A bound that nothing reaches: everything is raised, the costliest first, and the answer is
// nearer.
TEST_F(PrecisionSearch, ABrokenBoundRaisesTheCostliestMatrices) {
  int64_t weighed = 0;
  SearchOptions options{.bound = {1.0, -2.0}, .sample = 20};
  options.progress = [&](const SearchProgress& progress) { weighed = progress.done; };
  const auto result = Lower(model::WeightType::kI8, options);
  EXPECT_GT(weighed, 3);
  EXPECT_EQ(result.raised.size(), static_cast<size_t>(weighed));
  EXPECT_LT(result.comparison.mean_difference, result.first.mean_difference);
  for (const std::string& name : result.raised) EXPECT_NE(name, "classifier");
  // What was mixed of two packed models is what a plan packs.
  model::PrecisionPlan plan{model::WeightType::kI8, {}};
  plan.higher = {result.raised.begin(), result.raised.end()};
  EXPECT_TRUE(plan.higher.contains("bert.embeddings.word_embeddings"));
  const auto packed = model::PackWeights(checkpoint_, plan, pool_);
  ASSERT_TRUE(packed.ok());
  const auto expected = ComputeLogits(model::Classifier(*packed), data_.encodings, {}, pool_);
  const auto found = ComputeLogits(model::Classifier(result.weights), data_.encodings, {}, pool_);
  EXPECT_EQ(*found, *expected);
}

}  // namespace
}  // namespace bertie::train
