#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include "text/small_tokenizer.h"
#include "text/unicode.h"

namespace bertie::text {
namespace {

// The part of the text that each token stands for, "?" where there is none.
std::vector<std::string> PartsOf(const Tokenizer& tokenizer, const std::u32string& text) {
  std::string utf8;
  for (char32_t c : text) {
    char bytes[4];
    utf8.append(bytes, EncodeUtf8(c, bytes));
  }
  const Encoding encoding = tokenizer.Encode(utf8);
  const auto ids = std::span(encoding.ids).subspan(1, encoding.ids.size() - 2);
  std::vector<std::string> parts;
  for (const auto& span : FindTokenSpans(tokenizer, utf8, ids)) {
    std::string& part = parts.emplace_back(span ? "" : "?");
    for (char32_t c : span ? text.substr(span->begin, span->end - span->begin) : U"") {
      char bytes[4];
      part.append(bytes, EncodeUtf8(c, bytes));
    }
  }
  return parts;
}

using Strings = std::vector<std::string>;

TEST(FindTokenSpans, PiecesOfWordsAndPunctuation) {
  const Tokenizer tokenizer = SmallTokenizer();
  EXPECT_EQ(PartsOf(tokenizer, U"  Unaffable,\tWORLD!"),
            Strings({"Un", "aff", "able", ",", "WORLD", "!"}));
  EXPECT_EQ(PartsOf(tokenizer, U""), Strings());
}

TEST(FindTokenSpans, UnknownWordsAreWhole) {
  EXPECT_EQ(PartsOf(SmallTokenizer(), U"xyz hello? q你"),
            Strings({"xyz", "hello", "?", "q", "你"}));
}

TEST(FindTokenSpans, DroppedCharactersBelongToNoToken) {
  const Tokenizer tokenizer = SmallTokenizer();
  EXPECT_EQ(PartsOf(tokenizer, U"\u00c9 he\u0001llo"), Strings({"\u00c9", "he\u0001llo"}));
  EXPECT_EQ(PartsOf(tokenizer, U"ae\u0301b"), Strings({"a", "e", "b"}));
}

TEST(FindTokenSpans, TokensWrittenInTheText) {
  EXPECT_EQ(PartsOf(SmallTokenizer(), U"a [MASK] b[MASK]c"),
            Strings({"a", "[MASK]", "b", "[MASK]", "c"}));
}

TEST(DecodeTokens, JoinsPiecesAndCleansUp) {
  const Tokenizer tokenizer = SmallTokenizer();
  const Ids ids = tokenizer.Encode("Unaffable, hello world!").ids;
  EXPECT_EQ(DecodeTokens(tokenizer, ids, true), "unaffable, hello world!");
  EXPECT_EQ(DecodeTokens(tokenizer, ids, false), "[CLS] unaffable, hello world! [SEP]");
  EXPECT_EQ(DecodeTokens(tokenizer, Ids{-1, 8, 99}, true), "hello");
  EXPECT_EQ(DecodeTokens(tokenizer, Ids{}, true), "");
}

}  // namespace
}  // namespace bertie::text
