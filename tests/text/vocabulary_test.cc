#include "text/vocabulary.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "expect_error.h"

namespace bertie::text {
namespace {

using Tokens = std::vector<std::string>;

TEST(Vocabulary, FindsTokensAndIds) {
  const Vocabulary vocabulary = *Vocabulary::Create({"[PAD]", "a", "", "##a", "你"});
  EXPECT_EQ(vocabulary.size(), 5u);
  EXPECT_EQ(vocabulary.count(), 4u);
  EXPECT_EQ(vocabulary.Find("a"), 1);
  EXPECT_EQ(vocabulary.Find("##a"), 3);
  EXPECT_EQ(vocabulary.Find("你"), 4);
  EXPECT_EQ(vocabulary.Find(""), Vocabulary::kNoId);
  EXPECT_EQ(vocabulary.Find("#"), Vocabulary::kNoId);
  EXPECT_EQ(vocabulary.Find("ab"), Vocabulary::kNoId);
  EXPECT_EQ(vocabulary.token(3), "##a");
  EXPECT_EQ(vocabulary.token(2), "");
  EXPECT_EQ(vocabulary.token(5), "");
  EXPECT_EQ(vocabulary.token(-1), "");
}

TEST(Vocabulary, RefusesATokenTwice) {
  EXPECT_ERROR(Vocabulary::Create({"a", "b", "a"}), ErrorCode::kInvalidData,
               "token 'a' has two ids, 0 and 2");
}

TEST(Vocabulary, RefusesInvalidUtf8) {
  EXPECT_ERROR(Vocabulary::Create({"a", "\xFF"}), ErrorCode::kInvalidData,
               "token 1 is not valid UTF-8: '\\xff'");
}

TEST(Vocabulary, RefusesALongToken) {
  EXPECT_ERROR(Vocabulary::Create({std::string(2000, 'x')}), ErrorCode::kResourceExhausted,
               "has 2000 bytes");
}

TEST(VocabularyLines, EndAsPythonHasThem) {
  const Tokens expected = {"a", "", "b", "c", "d\u2028e"};
  EXPECT_EQ(*Vocabulary::ParseLines("a\n\nb\r\nc\rd\u2028e", "x"), expected);
  EXPECT_EQ(*Vocabulary::ParseLines("a\n\nb\nc\nd\u2028e\n", "x"), expected);
  EXPECT_EQ(*Vocabulary::ParseLines("", "x"), Tokens());
  EXPECT_EQ(*Vocabulary::ParseLines("\n\n", "x"), Tokens({"", ""}));
}

TEST(VocabularyLines, ErrorsNameTheLine) {
  EXPECT_ERROR(Vocabulary::ParseLines("a\nb\na\n", "vocab.txt"), ErrorCode::kInvalidData,
               "vocab.txt:3: token 'a' is already on line 1");
  EXPECT_ERROR(Vocabulary::ParseLines("a\n\xC3\n", "vocab.txt"), ErrorCode::kInvalidData,
               "vocab.txt:2: not valid UTF-8");
  EXPECT_ERROR(Vocabulary::ParseLines(std::string(Vocabulary::kMaxTokens + 1, '\n'), "vocab.txt"),
               ErrorCode::kResourceExhausted, "vocab.txt: the vocabulary has 4194305 tokens");
}

}  // namespace
}  // namespace bertie::text
