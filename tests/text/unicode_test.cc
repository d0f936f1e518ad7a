#include "text/unicode.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace bertie::text {
namespace {

using namespace std::string_literals;

const std::string kReplacement = "\uFFFD";

TEST(Utf8, ValidTextIsLeftAlone) {
  for (const std::string& text : {""s, "plain ascii, long enough for a block"s, "é"s, "\u0000"s,
                                  "a\u07FF\u0800\uD7FF\uE000\uFFFF\U00010000\U0010FFFF"s}) {
    EXPECT_EQ(ValidUtf8Prefix(text), text.size());
    EXPECT_EQ(ReplaceInvalidUtf8(text), text);
  }
}

// The counts are those of Python's bytes.decode("utf-8", "replace").
TEST(Utf8, EachMaximalInvalidPartIsReplacedOnce) {
  struct Case {
    std::string bytes;
    int replacements;
  };
  const std::vector<Case> cases = {
      {"\x80", 1},              // a continuation alone
      {"\xFF\xFE", 2},          // never part of UTF-8
      {"\xC0\xAF", 2},          // overlong
      {"\xE0\x80\x80", 3},      // overlong
      {"\xE0\xA0", 1},          // cut short
      {"\xF0\x9F\x98", 1},      // cut short
      {"\xF0\x80\x80\x80", 4},  // overlong
      {"\xED\xA0\x80", 3},      // a surrogate
      {"\xF4\x90\x80\x80", 4},  // past U+10FFFF
      {"\xF1\x80\xF1\x80\x80", 2},
      {"\xE4\xBD\xE4\xBD", 2},
  };
  for (const Case& c : cases) {
    std::string expected = "a";
    for (int i = 0; i < c.replacements; ++i) {
      expected += kReplacement;
    }
    EXPECT_EQ(ReplaceInvalidUtf8("a" + c.bytes + "b"), expected + "b")
        << ::testing::PrintToString(c.bytes);
    EXPECT_EQ(ReplaceInvalidUtf8("a" + c.bytes), expected);
    EXPECT_EQ(ValidUtf8Prefix("a" + c.bytes), 1u);
  }
}

TEST(Utf8, AnInvalidByteIsFoundAtAnyPlace) {
  for (size_t i = 0; i < 40; ++i) {
    std::string text(40, 'x');
    text[i] = '\xFF';
    EXPECT_EQ(ValidUtf8Prefix(text), i);
  }
}

TEST(Utf8, CharactersAreReadAndWritten) {
  for (const char32_t c : {U'a', U'\u07FF', U'\u0800', U'\uFFFF', U'\U00010000', U'\U0010FFFF'}) {
    char bytes[4];
    const size_t length = EncodeUtf8(c, bytes);
    const std::string text(bytes, length);
    const char* p = text.data();
    EXPECT_EQ(NextChar(p), c);
    EXPECT_EQ(p, text.data() + length);
  }
}

TEST(Categories, ControlsAreNotBlanks) {
  EXPECT_TRUE(IsControl(0x0));
  EXPECT_TRUE(IsControl(0x85));
  EXPECT_TRUE(IsControl(0x200D));
  EXPECT_TRUE(IsControl(0xE000));
  EXPECT_FALSE(IsControl('\t'));
  EXPECT_FALSE(IsControl('\n'));
  EXPECT_FALSE(IsControl('\r'));
  EXPECT_FALSE(IsControl('a'));
  EXPECT_FALSE(IsControl(0x378)) << "unassigned";
  EXPECT_TRUE(IsWhitespace(0x3000));
  EXPECT_FALSE(IsWhitespace(0x200B));
}

TEST(Categories, SymbolsOfAsciiArePunctuationOthersNot) {
  for (const char c : std::string_view("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")) {
    EXPECT_TRUE(IsPunctuation(c)) << c;
  }
  EXPECT_TRUE(IsPunctuation(0xBF));
  EXPECT_TRUE(IsPunctuation(0x3001));
  EXPECT_FALSE(IsPunctuation(0x20AC)) << "the euro sign";
  EXPECT_FALSE(IsPunctuation('a'));
}

TEST(Categories, YoungerThanTheTablesMeansOrdinary) {
  EXPECT_FALSE(IsPunctuation(0x2E52)) << "of Unicode 14";
  EXPECT_FALSE(IsNonspacingMark(0x1DF6)) << "of Unicode 10";
  EXPECT_EQ(CombiningClass(0x1DF6), 0);
  EXPECT_TRUE(IsNonspacingMark(0x301));
  EXPECT_EQ(CombiningClass(0x301), 230);
  EXPECT_EQ(CombiningClass(0x302E), 224);
  EXPECT_FALSE(IsNonspacingMark(0x302E));
}

TEST(Categories, WordCharacters) {
  for (const char32_t c : {U'a', U'Z', U'0', U'_', U'é', U'你', U'\u0301', U'\u200D', U'\u24B6'}) {
    EXPECT_TRUE(IsWordCharacter(c)) << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {U' ', U'-', U'[', U'\u20AC', U'\u00B2'}) {
    EXPECT_FALSE(IsWordCharacter(c)) << static_cast<uint32_t>(c);
  }
}

TEST(Categories, CjkBlocksHaveTheirEdges) {
  for (const char32_t c : {0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0xFAFF, 0x20000, 0x2A6DF,
                           0x2A700, 0x2B81F, 0x2B920, 0x2CEAF, 0x2F800, 0x2FA1F}) {
    EXPECT_TRUE(IsCjk(c)) << static_cast<uint32_t>(c);
  }
  for (const char32_t c :
       {0x33FF, 0x4DC0, 0xA000, 0xFB00, 0x2A6E0, 0x2B820, 0x2B91F, 0x2CEB0, 0x3042, 0xAC00}) {
    EXPECT_FALSE(IsCjk(c)) << static_cast<uint32_t>(c);
  }
}

std::u32string Decomposed(char32_t c) {
  char32_t out[kMaxDecomposed];
  return {out, static_cast<size_t>(Decompose(c, out))};
}

std::u32string Lowered(char32_t c) {
  char32_t out[kMaxLowered];
  return {out, static_cast<size_t>(Lower(c, out))};
}

TEST(Decompose, CanonicalAllTheWay) {
  EXPECT_EQ(Decomposed(U'a'), U"a");
  EXPECT_EQ(Decomposed(U'é'), U"e\u0301");
  EXPECT_EQ(Decomposed(U'\u01D5'), U"U\u0308\u0304");
  EXPECT_EQ(Decomposed(U'\uAC01'), U"\u1100\u1161\u11A8");
  EXPECT_EQ(Decomposed(U'\uF900'), U"\u8C48");
  EXPECT_EQ(Decomposed(U'\uFB01'), U"\uFB01") << "a ligature's is not canonical";
  EXPECT_EQ(Decomposed(U'\U00011938'), U"\U00011938") << "younger than the tables";
}

TEST(Lower, FullMappingWithoutContext) {
  EXPECT_EQ(Lowered(U'A'), U"a");
  EXPECT_EQ(Lowered(U'Σ'), U"σ");
  EXPECT_EQ(Lowered(U'\u0130'), U"i\u0307");
  EXPECT_EQ(Lowered(U'\u01C5'), U"\u01C6");
  EXPECT_EQ(Lowered(U'ß'), U"ß");
  EXPECT_EQ(Lowered(U'\u1C89'), U"\u1C8A") << "of Unicode 16";
}

}  // namespace
}  // namespace bertie::text
