// Several labels a sentence, and numbers.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "train/figures.h"
#include "train/metrics.h"

namespace bertie::train {
namespace {

constexpr double kExact = 1e-12;

nlohmann::json GoldenCases(const char* kind) {
  std::ifstream file(BERTIE_TESTS_DIR "/train/target_metrics_golden.json");
  return nlohmann::json::parse(file).at(kind);
}

TEST(TargetMetrics, OfSeveralLabelsEqualScikitLearn) {
  const auto cases = GoldenCases("multi_label");
  ASSERT_GE(cases.size(), 8u);
  for (const auto& stored : cases) {
    SCOPED_TRACE(stored.at("name").get<std::string>());
    const Targets targets{ProblemType::kMultiLabel, {}, stored.at("targets")};
    const auto logits = stored.at("logits").get<std::vector<float>>();
    const int num_labels = stored.at("num_labels");
    const auto metrics = ComputeMetrics(targets, logits, num_labels, stored.at("threshold"));
    ASSERT_TRUE(metrics.ok()) << metrics.error().message;
    EXPECT_EQ(metrics->examples * num_labels, static_cast<int64_t>(logits.size()));
    for (const Figure& figure : Figures(*metrics)) {
      EXPECT_NEAR(figure.value, stored.at(figure.key).get<double>(), 1e-9) << figure.key;
    }
    ASSERT_EQ(metrics->classes.size(), static_cast<size_t>(num_labels));
    for (size_t label = 0; label < metrics->classes.size(); ++label) {
      const ClassMetrics& one = metrics->classes[label];
      EXPECT_NEAR(one.precision, stored.at("precision")[label].get<double>(), kExact);
      EXPECT_NEAR(one.recall, stored.at("recall")[label].get<double>(), kExact);
      EXPECT_NEAR(one.f1, stored.at("f1")[label].get<double>(), kExact);
      EXPECT_EQ(one.support, stored.at("support")[label].get<int64_t>());
    }
    EXPECT_TRUE(metrics->confusion.empty());
  }
}

TEST(TargetMetrics, OfNumbersEqualScikitLearnAndScipy) {
  const auto cases = GoldenCases("regression");
  ASSERT_GE(cases.size(), 6u);
  for (const auto& stored : cases) {
    SCOPED_TRACE(stored.at("name").get<std::string>());
    const Targets targets{ProblemType::kRegression, {}, stored.at("targets")};
    const auto predictions = stored.at("predictions").get<std::vector<float>>();
    const auto metrics = ComputeMetrics(targets, predictions, 1);
    ASSERT_TRUE(metrics.ok()) << metrics.error().message;
    for (const Figure& figure : Figures(*metrics)) {
      const char* key = figure.key == std::string("mse") ? "loss" : figure.key;
      EXPECT_NEAR(figure.value, stored.at(key).get<double>(), 1e-9) << figure.key;
    }
  }
}

TEST(TargetMetrics, TheThresholdItselfIsReached) {
  EXPECT_TRUE(ReachesThreshold(0, 0.5));
  EXPECT_FALSE(ReachesThreshold(-1e-3f, 0.5));
  EXPECT_TRUE(ReachesThreshold(-1000, 0));
  EXPECT_FALSE(ReachesThreshold(1, 0.99));
}

TEST(TargetMetrics, WrongSizesAndNumbersThatAreNotFiniteAreErrors) {
  const Targets labels{ProblemType::kMultiLabel, {}, {1, 0, 0, 1}};
  EXPECT_EQ(ComputeMetrics(labels, std::vector<float>{1, 2}, 2).error().message,
            "found 2 logits; expected 2 x 2");
  EXPECT_EQ(ComputeMetrics(labels, std::vector<float>{1, 2, 3, NAN}, 2).error().message,
            "the logits of sentence 1 are not finite");
  const Targets numbers{ProblemType::kRegression, {}, {1, 0}};
  EXPECT_EQ(ComputeMetrics(numbers, std::vector<float>{1}, 1).error().message,
            "found 1 logits; expected 2 x 1");
  EXPECT_EQ(ComputeMetrics(numbers, std::vector<float>{INFINITY, 1}, 1).error().message,
            "the logits of sentence 0 are not finite");
  EXPECT_EQ(ComputeMetrics(numbers, std::vector<float>{1, 2}, 2).error().code,
            ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace bertie::train
