#include "data/overlap.h"

#include <gtest/gtest.h>

namespace bertie::data {
namespace {

Example Make(const std::string& text, int label, int64_t line,
             std::optional<std::string> pair = std::nullopt) {
  return {text, std::move(pair), label, line};
}

using LinePairs = std::vector<std::pair<int64_t, int64_t>>;

TEST(FindRepetitions, BlanksAndCaseDoNotMatterAndOtherCharactersDo) {
  const std::vector<Example> examples = {
      Make("A  b", 0, 1), Make("a b ", 0, 2), Make("\ta\nB", 1, 3), Make("ab", 0, 4),
      Make("a b.", 0, 5), Make("Ä", 0, 6),    Make("ä", 0, 7)};
  const Repetitions found = FindRepetitions(examples);
  EXPECT_EQ(found.repeated, 2);
  EXPECT_EQ(found.contradicting, 1);
  EXPECT_EQ(found.repeated_lines, (LinePairs{{1, 2}, {1, 3}}));
  EXPECT_EQ(found.contradicting_lines, (LinePairs{{1, 3}}));
}

TEST(FindRepetitions, PairsAreTheSameWhenBothTextsAre) {
  const std::vector<Example> examples = {Make("a", 0, 1, "b"), Make("a", 0, 2, "c"),
                                         Make("a b", 0, 3, ""), Make("A", 0, 4, "B")};
  EXPECT_EQ(FindRepetitions(examples).repeated_lines, (LinePairs{{1, 4}}));
}

TEST(FindLeakage, CountsEachTestSentenceOnce) {
  const std::vector<Example> train = {Make("a", 0, 1), Make("a", 1, 2), Make("b", 0, 3)};
  const std::vector<Example> test = {Make("A", 0, 1), Make("a", 1, 2), Make("c", 0, 3)};
  const Repetitions found = FindLeakage(train, test);
  EXPECT_EQ(found.repeated, 2);
  EXPECT_EQ(found.contradicting, 1);
  EXPECT_EQ(found.repeated_lines, (LinePairs{{1, 1}, {1, 2}}));
}

}  // namespace
}  // namespace bertie::data
