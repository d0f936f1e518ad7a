#include "data/split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace bertie::data {
namespace {

std::vector<int> Labels(std::vector<int> counts) {
  std::vector<int> labels;
  for (size_t label = 0; label < counts.size(); ++label) {
    labels.insert(labels.end(), static_cast<size_t>(counts[label]), static_cast<int>(label));
  }
  return labels;
}

std::vector<int> Count(const std::vector<size_t>& part, const std::vector<int>& labels, size_t n) {
  std::vector<int> counts(n);
  for (size_t index : part) ++counts[static_cast<size_t>(labels[index])];
  return counts;
}

void ExpectWhole(const Split& split, size_t total) {
  std::vector<size_t> all = split.train;
  all.insert(all.end(), split.test.begin(), split.test.end());
  std::sort(all.begin(), all.end());
  std::vector<size_t> expected(total);
  std::iota(expected.begin(), expected.end(), size_t{0});
  EXPECT_EQ(all, expected);
}

TEST(Split, RoundsTheTestPartUp) {
  const auto labels = Labels({8551});
  auto split = SplitIndices(labels, {});
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->test.size(), 2138u);  // 2137.75
  EXPECT_EQ(split->train.size(), 6413u);
  ExpectWhole(*split, labels.size());
}

TEST(Split, SameSeedSameSplit) {
  const auto labels = Labels({50, 50});
  auto one = SplitIndices(labels, {.seed = 4});
  auto two = SplitIndices(labels, {.seed = 4});
  auto other = SplitIndices(labels, {.seed = 5});
  EXPECT_EQ(one->test, two->test);
  EXPECT_EQ(one->train, two->train);
  EXPECT_NE(one->test, other->test);
}

// From a separate program of the same definition: a data set split last year must split the same
// today.
TEST(Split, IsFixedForAllTime) {
  auto split = SplitIndices(Labels({6, 6}), {.seed = 1});
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->test, (std::vector<size_t>{7, 6, 10}));
  EXPECT_EQ(split->train, (std::vector<size_t>{0, 3, 2, 5, 4, 8, 9, 1, 11}));
}

TEST(Split, StratifyKeepsEachShare) {
  const auto labels = Labels({700, 200, 99, 1});
  auto split = SplitIndices(labels, {.test_fraction = 0.3, .stratify = true});
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->test.size(), 300u);
  EXPECT_EQ(Count(split->test, labels, 4), (std::vector<int>{210, 60, 30, 0}));
  ExpectWhole(*split, labels.size());
}

TEST(Split, StratifyHandlesManyRareLabels) {
  const auto labels = Labels(std::vector<int>(40, 1));
  auto split = SplitIndices(labels, {.test_fraction = 0.25, .stratify = true});
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->test.size(), 10u);
  ExpectWhole(*split, labels.size());
}

TEST(Split, FractionOutOfRangeIsAnError) {
  for (double fraction : {0.0, 1.0, -0.5, 25.0}) {
    auto split = SplitIndices(Labels({9}), {.test_fraction = fraction});
    ASSERT_FALSE(split.ok());
    EXPECT_EQ(split.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(SplitIndices(Labels({9}), {.test_fraction = 25}).error().message,
            "test fraction is 25; expected above 0 and below 1");
}

TEST(Split, EmptyPartIsAnError) {
  auto split = SplitIndices(Labels({1}), {});
  ASSERT_FALSE(split.ok());
  EXPECT_EQ(
      split.error().message,
      "a test fraction of 0.25 splits 1 sentences into 0 and 1; expected at least one on each "
      "side");
  EXPECT_FALSE(SplitIndices({}, {}).ok());
}

}  // namespace
}  // namespace bertie::data
