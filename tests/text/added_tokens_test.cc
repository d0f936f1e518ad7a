#include "text/added_tokens.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "expect_error.h"

namespace bertie::text {
namespace {

using Stage = AddedTokens::Stage;
using Parts = std::vector<std::string>;

class AddedTokensTest : public testing::Test {
 protected:
  // The parts that a text is cut into: texts as they are, tokens as "<id>".
  Parts Split(const std::string& text, Stage stage = Stage::kRaw) {
    EXPECT_TRUE(tokens_.Build(Normalizer(NormalizerOptions())).ok());
    Parts parts;
    tokens_.Split(
        text, stage, [&parts](std::string_view part) { parts.emplace_back(part); },
        [&parts](int32_t id) { parts.push_back("<" + std::to_string(id) + ">"); });
    return parts;
  }
  void Add(const AddedToken& token) { tokens_.Add(token, vocabulary_); }

  const Vocabulary vocabulary_ = *Vocabulary::Create({"[UNK]", "[SEP]", "[MASK]", "x"});
  AddedTokens tokens_;
};

TEST_F(AddedTokensTest, NoneLeavesTheTextWhole) {
  EXPECT_EQ(Split("a [SEP] b"), Parts{"a [SEP] b"});
  EXPECT_EQ(Split(""), Parts{});
  EXPECT_FALSE(tokens_.any_normalized());
}

TEST_F(AddedTokensTest, CutsAtEachToken) {
  Add({.content = "[SEP]", .special = true});
  Add({.content = "[MASK]", .special = true});
  EXPECT_EQ(Split("[SEP]a[MASK][SEP] b[SEP]"), (Parts{"<1>", "a", "<2>", "<1>", " b", "<1>"}));
  EXPECT_EQ(Split("[[SEP]] [sep] [SEP"), (Parts{"[", "<1>", "] [sep] [SEP"}));
}

TEST_F(AddedTokensTest, TheLeftmostLongestTokenWins) {
  Add({.content = "ab"});
  Add({.content = "abcd"});
  Add({.content = "bcdefg"});
  EXPECT_EQ(Split("abcdefg"), (Parts{"<5>", "efg"}));
  EXPECT_EQ(Split("abcx"), (Parts{"<4>", "cx"}));
  EXPECT_EQ(Split("xbcdefg"), (Parts{"x", "<6>"}));
}

TEST_F(AddedTokensTest, NewTokensGetTheNextIds) {
  Add({.content = "new"});
  Add({.content = "x"});
  Add({.content = "newer"});
  EXPECT_EQ(tokens_.Find("new"), 4);
  EXPECT_EQ(tokens_.Find("x"), 3);
  EXPECT_EQ(tokens_.Find("newer"), 5);
  EXPECT_EQ(tokens_.Find("other"), Vocabulary::kNoId);
  EXPECT_EQ(tokens_.token(5), "newer");
  EXPECT_EQ(tokens_.token(6), "");
}

TEST_F(AddedTokensTest, EmptyOnesAreLeftOut) {
  Add({.content = ""});
  Add({.content = "\u0301", .normalized = true});
  EXPECT_EQ(tokens_.by_id().size(), 1u);
  EXPECT_EQ(Split("abc"), Parts{"abc"});
  EXPECT_EQ(Split("abc", Stage::kNormalized), Parts{"abc"}) << "nothing is left of U+0301";
}

TEST_F(AddedTokensTest, StripTakesWhiteSpaceAlong) {
  Add({.content = "[MASK]", .lstrip = true});
  Add({.content = "[SEP]", .rstrip = true});
  EXPECT_EQ(Split("a \t\u3000[MASK] b"), (Parts{"a", "<2>", " b"}));
  EXPECT_EQ(Split("a [SEP] \n\u2028b"), (Parts{"a ", "<1>", "b"}));
  EXPECT_EQ(Split("[SEP]  [MASK]"), (Parts{"<1>", "<2>"})) << "white space is taken once";
  EXPECT_EQ(Split(" [MASK]"), Parts{"<2>"});
  EXPECT_EQ(Split("[SEP] "), Parts{"<1>"});
}

TEST_F(AddedTokensTest, WhiteSpaceItselfMayBeAToken) {
  Add({.content = " ", .rstrip = true});
  Add({.content = "  x", .lstrip = true});
  const std::string many(100'000, ' ');
  EXPECT_FALSE(Split("a" + many + "b").empty());
  EXPECT_FALSE(Split(many + "x").empty());
}

TEST_F(AddedTokensTest, SingleWordsStandAlone) {
  Add({.content = "x", .single_word = true});
  EXPECT_EQ(Split("x x,x-x"), (Parts{"<3>", " ", "<3>", ",", "<3>", "-", "<3>"}));
  EXPECT_EQ(Split("xa ax _x x1 éx x\u0301"), Parts{"xa ax _x x1 éx x\u0301"});
  EXPECT_EQ(Split("你x"), Parts{"你x"});
  EXPECT_EQ(Split("\u20ACx"), (Parts{"\u20AC", "<3>"}));
}

TEST_F(AddedTokensTest, NormalizedOnesAreFoundInNormalisedText) {
  Add({.content = "ÉT", .normalized = true});
  EXPECT_EQ(Split("ÉT et"), Parts{"ÉT et"});
  EXPECT_TRUE(tokens_.any_normalized());
  EXPECT_EQ(Split("an et", Stage::kNormalized), (Parts{"an ", "<4>"}));
}

TEST_F(AddedTokensTest, AddingAgainChangesFlags) {
  Add({.content = "[MASK]", .special = true});
  Add({.content = "[MASK]", .lstrip = true, .normalized = true, .special = true});
  EXPECT_EQ(Split("a [MASK]"), (Parts{"a", "<2>"}))
      << "lstrip is new, but a special token stays where it was looked for";
  EXPECT_FALSE(tokens_.any_normalized());
  Add({.content = "new"});
  Add({.content = "new", .normalized = true});
  EXPECT_EQ(Split("new"), Parts{"<4>"}) << "an ordinary one is looked for in both ways";
  EXPECT_TRUE(tokens_.any_normalized());
  EXPECT_EQ(tokens_.by_id().size(), 2u);
}

TEST_F(AddedTokensTest, RefusesALongToken) {
  Add({.content = std::string(2000, 'y')});
  EXPECT_ERROR(tokens_.Build(Normalizer(NormalizerOptions())), ErrorCode::kResourceExhausted,
               "has 2000 bytes");
}

}  // namespace
}  // namespace bertie::text
