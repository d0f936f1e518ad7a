#include "accelerator/breaker.h"

#include <gtest/gtest.h>

#include "accelerator/round_trips.h"

namespace bertie::accelerator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void Open(Breaker& breaker) {
  for (int i = 1; i < Breaker::kMaxFailures; ++i) EXPECT_FALSE(breaker.OnFailure());
  EXPECT_TRUE(breaker.OnFailure());
}

TEST(Breaker, OpensAfterFiveFailuresInARow) {
  Breaker breaker(seconds(1));
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(breaker.OnFailure());
    EXPECT_TRUE(breaker.Allows());
    EXPECT_FALSE(breaker.OnSuccess());
  }
  Open(breaker);
  EXPECT_FALSE(breaker.Allows());
  EXPECT_TRUE(breaker.open());
}

TEST(Breaker, OneTrialAfterAProbe) {
  Breaker breaker(seconds(1));
  Open(breaker);
  breaker.OnProbeAnswered();
  EXPECT_TRUE(breaker.Allows());
  breaker.OnSent();
  EXPECT_FALSE(breaker.Allows());
  EXPECT_TRUE(breaker.OnSuccess());
  EXPECT_TRUE(breaker.closed());
  breaker.OnSent();
  EXPECT_TRUE(breaker.Allows());
}

TEST(Breaker, ATrialThatFailsDoublesTheWait) {
  Breaker breaker(seconds(1));
  Open(breaker);
  EXPECT_EQ(breaker.wait_before_probe(), seconds(1));
  for (const int wait : {2, 4, 8, 8}) {
    breaker.OnProbeAnswered();
    breaker.OnSent();
    EXPECT_TRUE(breaker.OnFailure());
    EXPECT_FALSE(breaker.Allows());
    EXPECT_EQ(breaker.wait_before_probe(), seconds(wait));
  }
  breaker.OnProbeAnswered();
  EXPECT_TRUE(breaker.OnSuccess());
  Open(breaker);
  EXPECT_EQ(breaker.wait_before_probe(), seconds(1));
}

TEST(RoundTrips, Percentile) {
  RoundTrips trips;
  for (int i = 0; i < 19; ++i) trips.Add(milliseconds(1));
  EXPECT_EQ(trips.p99().count(), 0);
  for (int i = 0; i < 500; ++i) trips.Add(milliseconds(i % 50 == 0 ? 100 : 2));
  EXPECT_EQ(trips.p99(), milliseconds(100));
  for (int i = 0; i < 300; ++i) trips.Add(milliseconds(3));
  EXPECT_EQ(trips.p99(), milliseconds(3));
}

TEST(RoundTrips, Buckets) {
  RoundTrips trips;
  trips.Add(std::chrono::microseconds(250));  // a bound belongs below it
  trips.Add(std::chrono::microseconds(251));
  trips.Add(seconds(100));
  EXPECT_EQ(trips.counts()[0], 1u);
  EXPECT_EQ(trips.counts()[1], 1u);
  EXPECT_EQ(trips.counts()[RoundTrips::kBounds], 1u);
  EXPECT_NEAR(trips.seconds(), 100.0005, 1e-5);
}

}  // namespace
}  // namespace bertie::accelerator
