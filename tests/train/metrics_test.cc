#include "train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

namespace bertie::train {
namespace {

constexpr double kTolerance = 1e-12;

TEST(Metrics, EqualScikitLearn) {
  std::ifstream file(BERTIE_TESTS_DIR "/train/metrics_golden.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  ASSERT_GE(golden.at("cases").size(), 8u);
  for (const auto& stored : golden.at("cases")) {
    SCOPED_TRACE(stored.at("name").get<std::string>());
    const auto labels = stored.at("labels").get<std::vector<int>>();
    const auto logits = stored.at("logits").get<std::vector<float>>();
    const int num_labels = stored.at("num_labels");
    auto metrics = ComputeMetrics(labels, logits, num_labels);
    ASSERT_TRUE(metrics.ok()) << metrics.error().message;
    EXPECT_EQ(metrics->examples, static_cast<int64_t>(labels.size()));
    EXPECT_NEAR(metrics->loss, stored.at("loss").get<double>(), 1e-9);
    EXPECT_NEAR(metrics->accuracy, stored.at("accuracy").get<double>(), kTolerance);
    EXPECT_NEAR(metrics->macro_f1, stored.at("macro_f1").get<double>(), kTolerance);
    EXPECT_NEAR(metrics->micro_f1, stored.at("micro_f1").get<double>(), kTolerance);
    EXPECT_NEAR(metrics->mcc, stored.at("mcc").get<double>(), kTolerance);
    EXPECT_EQ(metrics->binary_f1.has_value(), num_labels == 2);
    if (num_labels == 2) {
      EXPECT_NEAR(*metrics->binary_f1, stored.at("binary_f1").get<double>(), kTolerance);
    }
    EXPECT_EQ(metrics->confusion, stored.at("confusion").get<std::vector<std::vector<int64_t>>>());
    for (size_t label = 0; label < metrics->classes.size(); ++label) {
      const ClassMetrics& one = metrics->classes[label];
      EXPECT_NEAR(one.precision, stored.at("precision")[label].get<double>(), kTolerance);
      EXPECT_NEAR(one.recall, stored.at("recall")[label].get<double>(), kTolerance);
      EXPECT_NEAR(one.f1, stored.at("f1")[label].get<double>(), kTolerance);
      EXPECT_EQ(one.support, stored.at("support")[label].get<int64_t>());
    }
  }
}

TEST(Metrics, OfNoSentencesAreZero) {
  auto metrics = ComputeMetrics(std::vector<int>{}, {}, 2);
  ASSERT_TRUE(metrics.ok());
  EXPECT_EQ(metrics->examples, 0);
  EXPECT_EQ(metrics->accuracy, 0);
  EXPECT_EQ(metrics->mcc, 0);
  EXPECT_EQ(metrics->loss, 0);
}

TEST(Metrics, EqualLogitsGiveTheFirstLabel) {
  EXPECT_EQ(ArgMax(std::vector<float>{1, 1, 1}), 0);
  EXPECT_EQ(ArgMax(std::vector<float>{0, 2, 2}), 1);
}

TEST(Metrics, WrongNumberOfLogitsIsAnError) {
  auto metrics = ComputeMetrics(std::vector<int>{0, 1}, std::vector<float>{1, 2, 3}, 2);
  ASSERT_FALSE(metrics.ok());
  EXPECT_EQ(metrics.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(metrics.error().message, "found 3 logits; expected 2 x 2");
}

TEST(Metrics, LabelOutOfRangeIsAnError) {
  auto metrics = ComputeMetrics(std::vector<int>{0, 2}, std::vector<float>{1, 2, 3, 4}, 2);
  ASSERT_FALSE(metrics.ok());
  EXPECT_EQ(metrics.error().message, "sentence 1 has label 2; expected 0 to 1");
}

TEST(Metrics, LogitsThatAreNotFiniteAreAnErrorNotAScore) {
  for (float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    auto metrics = ComputeMetrics(std::vector<int>{0, 1}, std::vector<float>{1, 2, bad, 4}, 2);
    ASSERT_FALSE(metrics.ok());
    EXPECT_EQ(metrics.error().code, ErrorCode::kInvalidData);
    EXPECT_EQ(metrics.error().message, "the logits of sentence 1 are not finite");
  }
}

}  // namespace
}  // namespace bertie::train
