#include "train/schedule.h"

#include <gtest/gtest.h>

#include <vector>

namespace bertie::train {
namespace {

std::vector<double> Factors(Schedule schedule, int64_t warmup) {
  std::vector<double> factors;
  for (int64_t step = 0; step < 8; ++step) {
    factors.push_back(ScheduleFactor(schedule, step, 8, warmup));
  }
  return factors;
}

TEST(Schedule, LinearRisesThenFallsToZeroAtTheEnd) {
  EXPECT_EQ(Factors(Schedule::kLinear, 4),
            (std::vector<double>{0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25}));
}

TEST(Schedule, ConstantStaysAfterItsWarmUp) {
  EXPECT_EQ(Factors(Schedule::kConstant, 2), (std::vector<double>{0, 0.5, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(Factors(Schedule::kConstant, 0), std::vector<double>(8, 1.0));
}

TEST(Schedule, CosineIsHalfWayInTheMiddle) {
  EXPECT_DOUBLE_EQ(ScheduleFactor(Schedule::kCosine, 0, 8, 0), 1);
  EXPECT_NEAR(ScheduleFactor(Schedule::kCosine, 4, 8, 0), 0.5, 1e-12);
  EXPECT_NEAR(ScheduleFactor(Schedule::kCosine, 8, 8, 0), 0, 1e-12);
}

TEST(Schedule, UnknownNameSaysWhatIsKnown) {
  EXPECT_TRUE(ParseSchedule("cosine").ok());
  auto parsed = ParseSchedule("step");
  ASSERT_FALSE(parsed.ok());
  EXPECT_NE(parsed.error().message.find("linear, cosine or constant"), std::string::npos);
}

}  // namespace
}  // namespace bertie::train
