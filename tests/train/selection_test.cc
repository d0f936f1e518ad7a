#include "train/selection.h"

#include <gtest/gtest.h>

#include <vector>

namespace bertie::train {
namespace {

std::optional<Metrics> With(double loss, double accuracy) {
  Metrics metrics;
  metrics.loss = loss;
  metrics.accuracy = accuracy;
  metrics.macro_f1 = accuracy / 2;
  metrics.mcc = accuracy - 1;
  return metrics;
}

TEST(Selection, TheLastEpochIsTheBestByDefault) {
  Selection selection;
  for (int64_t epoch = 1; epoch <= 3; ++epoch) {
    EXPECT_TRUE(SelectEpoch({}, epoch, std::nullopt, selection));
    EXPECT_EQ(selection.best_epoch, epoch);
  }
}

TEST(Selection, LossFallsAndTheOthersRise) {
  for (const SelectBy by : {SelectBy::kLoss, SelectBy::kAccuracy, SelectBy::kF1, SelectBy::kMcc}) {
    Selection selection;
    const SelectionOptions options{by, 0, 0};
    EXPECT_TRUE(SelectEpoch(options, 1, With(0.5, 0.7), selection));
    EXPECT_TRUE(SelectEpoch(options, 2, With(0.4, 0.8), selection));
    EXPECT_FALSE(SelectEpoch(options, 3, With(0.6, 0.6), selection));
    EXPECT_FALSE(SelectEpoch(options, 4, With(0.4, 0.8), selection)) << "no better than epoch 2";
    EXPECT_EQ(selection.best_epoch, 2) << SelectByName(by);
    EXPECT_EQ(*ParseSelectBy(SelectByName(by)), by);
  }
}

// Each figure of each problem, in its own direction.
TEST(Selection, ErrorsFallAndTheOthersRise) {
  for (const ProblemType problem :
       {ProblemType::kSingleLabel, ProblemType::kMultiLabel, ProblemType::kRegression}) {
    for (const std::string& name : SelectByNames()) {
      const SelectBy by = *ParseSelectBy(name);
      if (by == SelectBy::kLast || !CheckSelectBy(by, problem).ok()) continue;
      const bool falls = name == "loss" || name == "hamming_loss" || name == "mse" ||
                         name == "rmse" || name == "mae";
      Metrics low, high;
      low.problem = high.problem = problem;
      for (double Metrics::*member :
           {&Metrics::loss, &Metrics::accuracy, &Metrics::macro_f1, &Metrics::micro_f1,
            &Metrics::mcc, &Metrics::hamming_loss, &Metrics::average_precision, &Metrics::rmse,
            &Metrics::mae, &Metrics::pearson, &Metrics::spearman}) {
        low.*member = 0.25;
        high.*member = 0.75;
      }
      Selection selection;
      EXPECT_TRUE(SelectEpoch({by, 0, 0}, 1, falls ? high : low, selection));
      EXPECT_TRUE(SelectEpoch({by, 0, 0}, 2, falls ? low : high, selection)) << name;
      EXPECT_FALSE(SelectEpoch({by, 0, 0}, 3, falls ? high : low, selection)) << name;
      EXPECT_EQ(selection.best_value, falls ? 0.25 : 0.75) << name;
    }
  }
}

TEST(Selection, AFigureThatTheProblemLacksIsRefused) {
  EXPECT_EQ(CheckSelectBy(SelectBy::kMcc, ProblemType::kRegression).error().message,
            "best epoch by 'mcc', which regression does not measure; expected last, loss, mse, "
            "rmse, mae, pearson or spearman");
  EXPECT_FALSE(CheckSelectBy(SelectBy::kRmse, ProblemType::kMultiLabel).ok());
  EXPECT_TRUE(CheckSelectBy(SelectBy::kF1, ProblemType::kMultiLabel).ok());
  EXPECT_FALSE(CheckSelectBy(SelectBy::kPearson, ProblemType::kSingleLabel).ok());
}

// A better epoch by less than the threshold is kept, but does not renew the patience.
TEST(Selection, PatienceRunsOutWithoutAGainOverTheThreshold) {
  Selection selection;
  const SelectionOptions options{SelectBy::kAccuracy, 2, 0.01};
  EXPECT_TRUE(SelectEpoch(options, 1, With(0, 0.50), selection));
  EXPECT_TRUE(SelectEpoch(options, 2, With(0, 0.505), selection));
  EXPECT_FALSE(StopsEarly(options, selection));
  EXPECT_TRUE(SelectEpoch(options, 3, With(0, 0.60), selection));
  EXPECT_EQ(selection.epochs_without_gain, 0);
  EXPECT_FALSE(SelectEpoch(options, 4, With(0, 0.60), selection));
  EXPECT_TRUE(SelectEpoch(options, 5, With(0, 0.605), selection));
  EXPECT_TRUE(StopsEarly(options, selection));
  EXPECT_EQ(selection.best_epoch, 5);
  EXPECT_EQ(selection.best_value, 0.605);
}

TEST(Selection, UnknownNamesAreRefused) { EXPECT_FALSE(ParseSelectBy("recall").ok()); }

}  // namespace
}  // namespace bertie::train
