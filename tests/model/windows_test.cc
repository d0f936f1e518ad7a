#include "model/windows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace bertie::model {
namespace {

constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

TEST(Pooling, HasNames) {
  EXPECT_EQ(ParsePooling("mean"), Pooling::kMean);
  EXPECT_EQ(ParsePooling("max"), Pooling::kMax);
  EXPECT_FALSE(ParsePooling("first"));
}

TEST(PoolWindows, WithoutLongTextsNothingChanges) {
  const std::vector<float> logits = {1, 2, 0.1F, 4};
  EXPECT_EQ(PoolWindows(logits, {}, {}, 2, Pooling::kMean), logits);
  EXPECT_EQ(PoolWindows(logits, {1, 1}, {0, 7}, 2, Pooling::kMean), logits);
}

TEST(PoolWindows, TheMeanCountsEachTokenOnce) {
  // A text of one window, without tokens; one of three; one of one.
  const std::vector<float> logits = {0.1F, 0.3F, 1, 10, 2, 20, 4, 0, -0.7F, 5};
  const auto pooled = PoolWindows(logits, {1, 3, 1}, {0, 4, 2, 2, 3}, 2, Pooling::kMean);
  EXPECT_EQ(pooled, (std::vector<float>{0.1F, 0.3F, 2, 10, -0.7F, 5}));
}

TEST(PoolWindows, TheMaxIsOfEachLabel) {
  const auto pooled = PoolWindows({1, 10, 2, -20, 0, 3}, {2, 1}, {4, 1, 1}, 2, Pooling::kMax);
  EXPECT_EQ(pooled, (std::vector<float>{2, 10, 0, 3}));
}

TEST(PoolWindows, WhatIsNotANumberStaysSo) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kMax}) {
    for (const std::vector<float>& logits :
         {std::vector<float>{kNotANumber, 1}, std::vector<float>{1, kNotANumber}}) {
      EXPECT_TRUE(std::isnan(PoolWindows(logits, {2}, {4, 1}, 1, pooling)[0]));
    }
  }
}

TEST(WindowedTexts, LieEndToEnd) {
  WindowedTexts texts;
  texts.Add({{{{2, 4, 3}, {0, 0, 0}}}, {1}});
  texts.Add({{{{2, 5, 3}, {0, 0, 0}}, {{2, 6, 3}, {0, 0, 0}}}, {1, 1}});
  EXPECT_EQ(texts.counts, (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(texts.added, (std::vector<uint32_t>{1, 1, 1}));
  EXPECT_EQ(texts.encodings[2].ids[1], 6);
}

}  // namespace
}  // namespace bertie::model
