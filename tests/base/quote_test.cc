#include "base/quote.h"

#include <gtest/gtest.h>

#include <string>

namespace bertie {
namespace {

TEST(Quote, LeavesPrintableTextAlone) { EXPECT_EQ(Quote("model.bin"), "'model.bin'"); }

TEST(Quote, EscapesWhatWouldBreakALineOrATerminal) {
  EXPECT_EQ(Quote(std::string("a\nb\x1b[31m\0\xff", 10)), "'a\\x0ab\\x1b[31m\\x00\\xff'");
}

TEST(Quote, CutsLongTextAndSaysSo) {
  EXPECT_EQ(Quote(std::string(1'000'000, 'x'), 4), "'xxxx...'");
  EXPECT_EQ(Quote("xxxx", 4), "'xxxx'");
}

}  // namespace
}  // namespace bertie
