#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/directory.h"
#include "expect_error.h"
#include "text/small_tokenizer.h"

namespace bertie::text {
namespace {

using namespace std::string_literals;

class TokenizerTest : public testing::Test {
 protected:
  const Tokenizer tokenizer_ = SmallTokenizer();
};

TEST_F(TokenizerTest, OneText) {
  const Encoding encoding = tokenizer_.Encode("Hello, unaffable WORLD!");
  EXPECT_EQ(encoding.ids, (Ids{kCls, 8, 11, 5, 6, 7, 9, 10, kSep}));
  EXPECT_EQ(encoding.type_ids, Ids(9, 0));
  EXPECT_FALSE(encoding.truncated);
}

TEST_F(TokenizerTest, NothingIsStillClsAndSep) {
  for (const std::string& text : {""s, " \n\t"s, "\u200B\x01"s, "\xFF"s, "\0"s}) {
    EXPECT_EQ(tokenizer_.Encode(text).ids, (Ids{kCls, kSep}));
    EXPECT_EQ(tokenizer_.EncodePair(text, text).ids, (Ids{kCls, kSep, kSep}));
  }
}

TEST_F(TokenizerTest, APair) {
  const Encoding encoding = tokenizer_.EncodePair("a b", "c");
  EXPECT_EQ(encoding.ids, (Ids{kCls, 12, 13, kSep, 14, kSep}));
  EXPECT_EQ(encoding.type_ids, (Ids{0, 0, 0, 0, 1, 1}));
}

TEST_F(TokenizerTest, SpecialTokensInTheText) {
  EXPECT_EQ(tokenizer_.Encode("a [SEP] b[MASK]c").ids, (Ids{kCls, 12, kSep, 13, kMask, 14, kSep}));
  EXPECT_EQ(tokenizer_.Encode("[PAD]").ids, (Ids{kCls, kPad, kSep}));
  EXPECT_EQ(tokenizer_.Encode("[sep]").ids, (Ids{kCls, kUnk, kUnk, kUnk, kSep}))
      << "brackets are punctuation";
  EXPECT_EQ(tokenizer_.Encode("[SE\u200BP]").ids, tokenizer_.Encode("[sep]").ids)
      << "looked for before the text is cleaned";
}

TEST_F(TokenizerTest, InvalidUtf8CountsAsReplacementCharacters) {
  EXPECT_EQ(tokenizer_.Encode("hel\xFFlo").ids, (Ids{kCls, 8, kSep})) << "which are dropped";
  TokenizerSpec spec = SmallSpec();
  spec.vocabulary.push_back("\uFFFD");
  spec.normalizer.clean_text = false;
  spec.wordpiece.continuation_prefix = "";
  const Tokenizer tokenizer = *Tokenizer::Create(std::move(spec));
  EXPECT_EQ(tokenizer.Encode("\xF0\x9F\x98\xFF").ids, (Ids{kCls, 25, 25, kSep}));
}

TEST_F(TokenizerTest, LongWordsAreUnknown) {
  EXPECT_EQ(tokenizer_.Encode(std::string(100, 'a')).ids.size(), 102u);
  EXPECT_EQ(tokenizer_.Encode(std::string(101, 'a')).ids, (Ids{kCls, kUnk, kSep}));
  EXPECT_EQ(tokenizer_.Encode(std::string(60, 'a') + "\u200B" + std::string(40, 'a')).ids.size(),
            102u)
      << "counted after cleaning";
}

TEST_F(TokenizerTest, LongTextsAreTreatedInPiecesWithoutASeam) {
  std::string text;
  Ids expected = {kCls};
  for (int i = 0; i < 20'000; ++i) {
    text += i % 2 == 0 ? "unaffable " : "A\u0301\u302E  ";
    for (const int32_t id : i % 2 == 0 ? Ids{5, 6, 7} : Ids{kUnk}) {
      expected.push_back(id);
    }
  }
  expected.push_back(kSep);
  EXPECT_EQ(tokenizer_.Encode(text).ids, expected);
}

TEST_F(TokenizerTest, TruncationKeepsClsAndSep) {
  const std::string text = "unaffable a b c";
  const Ids full = {kCls, 5, 6, 7, 12, 13, 14, kSep};
  EXPECT_EQ(tokenizer_.Encode(text, 8).ids, full);
  EXPECT_FALSE(tokenizer_.Encode(text, 8).truncated);
  const Encoding cut = tokenizer_.Encode(text, 7);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.ids, (Ids{kCls, 5, 6, 7, 12, 13, kSep}));
  EXPECT_EQ(cut.type_ids, Ids(7, 0));
  EXPECT_EQ(tokenizer_.Encode(text, 4).ids, (Ids{kCls, 5, 6, kSep})) << "inside a word";
  EXPECT_EQ(tokenizer_.Encode(text, 3).ids, (Ids{kCls, 5, kSep}));
  EXPECT_EQ(tokenizer_.Encode(text, 1).ids, (Ids{kCls, kSep})) << "less than there must be";
  EXPECT_EQ(tokenizer_.Encode("a[SEP][SEP][SEP]", 4).ids, (Ids{kCls, 12, kSep, kSep}));
}

// As Hugging Face's longest_first: drops from the longer one, at equal lengths from the first.
std::pair<size_t, size_t> OneByOne(size_t a, size_t b, size_t room) {
  const bool first_was_longer = a > b;
  while (a + b > room) {
    if (a > b || (a == b && !first_was_longer)) {
      --a;
    } else {
      --b;
    }
  }
  return {a, b};
}

TEST_F(TokenizerTest, PairsAreCutLongestFirst) {
  const auto words = [](size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) {
      text += "a ";
    }
    return text;
  };
  for (size_t a = 0; a < 9; ++a) {
    for (size_t b = 0; b < 9; ++b) {
      for (size_t max_length = 4; max_length < 22; ++max_length) {
        const auto [kept_a, kept_b] = OneByOne(a, b, max_length - 3);
        const Encoding encoding = tokenizer_.EncodePair(words(a), words(b), max_length);
        Ids expected = {kCls};
        expected.insert(expected.end(), kept_a, 12);
        expected.push_back(kSep);
        expected.insert(expected.end(), kept_b, 12);
        expected.push_back(kSep);
        EXPECT_EQ(encoding.ids, expected) << a << " and " << b << " into " << max_length;
        EXPECT_EQ(encoding.truncated, kept_a + kept_b < a + b);
        Ids types(kept_a + 2, 0);
        types.insert(types.end(), kept_b + 1, 1);
        EXPECT_EQ(encoding.type_ids, types);
      }
    }
  }
}

TEST_F(TokenizerTest, ATruncatedTextIsAPrefixOfTheWhole) {
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (size_t length = random() % 60; text.size() < length;) {
      const char* parts[] = {"a", " ", "[SEP]", "unaffable", "\xC3", "é", "你", "!", "\u0301"};
      text += parts[random() % std::size(parts)];
    }
    const Ids full = tokenizer_.Encode(text).ids;
    const size_t max_length = 3 + random() % 20;
    const Encoding cut = tokenizer_.Encode(text, max_length);
    ASSERT_EQ(cut.truncated, full.size() > max_length);
    ASSERT_EQ(cut.ids.size(), std::min(full.size(), max_length));
    ASSERT_EQ(cut.ids.front(), kCls);
    ASSERT_EQ(cut.ids.back(), kSep);
    ASSERT_TRUE(std::equal(cut.ids.begin(), cut.ids.end() - 1, full.begin()));
  }
}

TEST_F(TokenizerTest, SaysWhatItIs) {
  EXPECT_EQ(tokenizer_.vocab_size(), kSmallVocabulary.size());
  EXPECT_EQ(tokenizer_.pad_id(), kPad);
  EXPECT_EQ(tokenizer_.unk_id(), kUnk);
  EXPECT_EQ(tokenizer_.cls_id(), kCls);
  EXPECT_EQ(tokenizer_.sep_id(), kSep);
  EXPECT_TRUE(tokenizer_.lower_case());
  EXPECT_EQ(tokenizer_.token(6), "##aff");
  EXPECT_EQ(tokenizer_.token(-1), "");
  EXPECT_EQ(tokenizer_.token(25), "");
}

TEST_F(TokenizerTest, AddedTokensComeAfterTheVocabulary) {
  TokenizerSpec spec = SmallSpec();
  spec.added = {{.content = "<new>"}, {.content = "Brand New", .normalized = true}};
  const Tokenizer tokenizer = *Tokenizer::Create(std::move(spec));
  EXPECT_EQ(tokenizer.vocab_size(), 27u);
  EXPECT_EQ(tokenizer.token(25), "<new>");
  EXPECT_EQ(tokenizer.Encode("a<new>b").ids, (Ids{kCls, 12, 25, 13, kSep}));
  EXPECT_EQ(tokenizer.Encode("a BRAND new b").ids, (Ids{kCls, 12, 26, 13, kSep}));
}

TEST_F(TokenizerTest, ManyThreadsGetTheSameIds) {
  const std::string text = "Hello, unaffable [MASK] wörld 你 \xFF" + std::string(200, 'a');
  const Ids expected = tokenizer_.Encode(text).ids;
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        count += tokenizer_.Encode(text).ids != expected;
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(TokenizerCreate, NamesWhatIsMissing) {
  for (const char* token : {"[UNK]", "[CLS]", "[SEP]", "[PAD]"}) {
    TokenizerSpec spec = SmallSpec();
    std::erase(spec.vocabulary, token);
    EXPECT_ERROR(Tokenizer::Create(std::move(spec)), ErrorCode::kInvalidData,
                 "'" + std::string(token) + "' is not in the vocabulary");
  }
}

TEST(TokenizerCreate, WithoutAMaskItIsOrdinaryText) {
  TokenizerSpec spec = SmallSpec();
  spec.vocabulary[kMask] = "[";
  const Tokenizer tokenizer = *Tokenizer::Create(std::move(spec));
  EXPECT_EQ(tokenizer.vocab_size(), kSmallVocabulary.size());
  EXPECT_EQ(tokenizer.Encode("[MASK]").ids, (Ids{kCls, 4, kUnk, kUnk, kSep}));
}

TEST(TokenizerCreate, RefusesIdsOutsideTheVocabulary) {
  TokenizerSpec spec = SmallSpec();
  spec.cls_id = 99;
  EXPECT_ERROR(Tokenizer::Create(std::move(spec)), ErrorCode::kInvalidData, "id 99 is not");
}

}  // namespace
}  // namespace bertie::text
