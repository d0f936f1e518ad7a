#include "base/figures.h"

#include <gtest/gtest.h>

namespace bertie {
namespace {

TEST(FiguresTest, Counts) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1'234'567), "1,234,567");
  EXPECT_EQ(FormatCount(-123), "-123");
  EXPECT_EQ(FormatCount(-1'234), "-1,234");
}

TEST(FiguresTest, Seconds) {
  EXPECT_EQ(FormatSeconds(0), "0.00 s");
  EXPECT_EQ(FormatSeconds(0.516), "0.52 s");
  EXPECT_EQ(FormatSeconds(75.3), "75.30 s");
}

TEST(FiguresTest, Megabytes) {
  EXPECT_EQ(FormatMegabytes(0), "0.0 MB");
  EXPECT_EQ(FormatMegabytes(420'000), "0.4 MB");
  EXPECT_EQ(FormatMegabytes(9'949'999), "9.9 MB");
  EXPECT_EQ(FormatMegabytes(9'960'000), "10 MB");
  EXPECT_EQ(FormatMegabytes(90'900'000), "91 MB");
  EXPECT_EQ(FormatMegabytes(1'340'400'000), "1,340 MB");
}

}  // namespace
}  // namespace bertie
