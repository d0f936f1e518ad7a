#include "text/normalizer.h"

#include <gtest/gtest.h>

#include <string>

namespace bertie::text {
namespace {

using namespace std::string_literals;

std::string Normalized(const std::string& text, const NormalizerOptions& options = {}) {
  std::string out = "what was there before";
  Normalizer(options).Normalize(text, out);
  return out;
}

constexpr NormalizerOptions kCased = {.lower_case = false};

TEST(Normalizer, LowersAndStripsAccents) {
  EXPECT_EQ(Normalized(""), "");
  EXPECT_EQ(Normalized("Hello, WORLD"), "hello, world");
  EXPECT_EQ(Normalized("Ångström ÉÈ"), "angstrom ee");
  EXPECT_EQ(Normalized("E\u0301\u0323x"), "ex");
  EXPECT_EQ(Normalized("İIıi"), "iiıi");
  EXPECT_EQ(Normalized("ΣΑΣ"), "σασ");
  EXPECT_EQ(Normalized("한"), "\u1112\u1161\u11AB");
}

TEST(Normalizer, CasedKeepsCaseAndAccents) {
  EXPECT_EQ(Normalized("Ångström İ", kCased), "Ångström İ");
  EXPECT_EQ(Normalized("e\u0301", kCased), "e\u0301");
}

TEST(Normalizer, AccentsAndCaseAreSeparateChoices) {
  EXPECT_EQ(Normalized("ÉA", {.lower_case = false, .strip_accents = true}), "EA");
  EXPECT_EQ(Normalized("ÉAİ", {.lower_case = true, .strip_accents = false}), "éai\u0307");
}

TEST(Normalizer, CleansControlsAndBlanks) {
  EXPECT_EQ(Normalized("a\0b\x01\x7F\u200B\uFFFD\uE000\u0085"
                       "c\td\ne\rf\u3000g\u2028h"s),
            "abc d e f g h");
  EXPECT_EQ(Normalized("\x0B\x0C|", kCased), "|");
  const NormalizerOptions uncleaned = {.clean_text = false, .lower_case = false};
  EXPECT_EQ(Normalized("a\0\t\uFFFD"s, uncleaned), "a\0\t\uFFFD"s);
}

TEST(Normalizer, SetsIdeographsApart) {
  EXPECT_EQ(Normalized("a你好b"), "a 你  好 b");
  EXPECT_EQ(Normalized("かなカナ"), "かなカナ");
  EXPECT_EQ(Normalized("\uF900"), " \u8C48 ") << "decomposed after it was recognised";
  EXPECT_EQ(Normalized("a你", {.separate_cjk = false}), "a你");
  EXPECT_EQ(Normalized("\U0002B820"), "\U0002B820");
}

// Classes: U+302E 224, U+1D165 216, U+A953 9; all stay, since they are spacing marks.
TEST(Normalizer, MarksThatStayAreOrdered) {
  EXPECT_EQ(Normalized("a\u302E\U0001D165b"), "a\U0001D165\u302Eb");
  EXPECT_EQ(Normalized("a\u302E\U0001D165"), "a\U0001D165\u302E");
  EXPECT_EQ(Normalized("\u302E\u302F\uA953"), "\uA953\u302E\u302F") << "a stable order";
  EXPECT_EQ(Normalized("\u302E \uA953"), "\u302E \uA953") << "a blank ends a run";
  EXPECT_EQ(Normalized("\u302E\u0301\uA953"), "\uA953\u302E") << "dropped marks do not";
  EXPECT_EQ(Normalized("\u302E\u200B\x01\uA953"), "\uA953\u302E") << "nor controls";
  EXPECT_EQ(Normalized("\u302E\u034F\uA953"), "\u302E\uA953") << "a dropped starter does";
  EXPECT_EQ(Normalized("\u302E你\uA953"), "\u302E 你 \uA953");
  EXPECT_EQ(Normalized("\u302E\uA953", kCased), "\u302E\uA953") << "not without decomposition";
}

TEST(Normalizer, LongRunsOfMarksAreOrderedToo) {
  for (const int marks : {15, 16, 17, 1000}) {
    std::string text;
    std::string low;
    std::string high;
    for (int i = 0; i < marks; ++i) {
      text += i % 3 == 0 ? "\uA953" : "\u302E";
      (i % 3 == 0 ? low : high) += i % 3 == 0 ? "\uA953" : "\u302E";
    }
    EXPECT_EQ(Normalized("a" + text + "b"), "a" + low + high + "b") << marks;
  }
}

// ASCII is mapped in blocks; each character at each place of one, plain ones around it.
TEST(Normalizer, AsciiIsTheSameAnywhere) {
  for (const bool lower_case : {true, false}) {
    for (const bool clean_text : {true, false}) {
      const Normalizer normalizer({.clean_text = clean_text, .lower_case = lower_case});
      const std::string filler = lower_case ? "xyz" : "XYZ";
      for (int c = 0; c < 0x80; ++c) {
        std::string alone;
        normalizer.Normalize(std::string(1, static_cast<char>(c)), alone);
        for (size_t before = 0; before < 40; ++before) {
          const std::string left(before, 'X');
          std::string out;
          normalizer.Normalize(left + static_cast<char>(c) + "XYZ", out);
          const std::string expected = std::string(before, lower_case ? 'x' : 'X');
          ASSERT_EQ(out, expected + alone + filler) << c << " behind " << before;
        }
      }
    }
  }
}

TEST(Normalizer, GrowthIsHeld) {
  std::string text;
  std::string expected;
  for (int i = 0; i < 5000; ++i) {
    text += "힣";
    expected += "\u1112\u1175\u11C2";
  }
  EXPECT_EQ(Normalized(text), expected);
}

}  // namespace
}  // namespace bertie::text
