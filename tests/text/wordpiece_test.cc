#include "text/wordpiece.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "expect_error.h"
#include "text/small_tokenizer.h"

namespace bertie::text {
namespace {

constexpr int32_t kUnknown = 1;

class WordPieceTest : public testing::Test {
 protected:
  Ids Pieces(const std::string& word, const WordPieceOptions& options = {}) const {
    Ids ids;
    WordPiece::Create(vocabulary_, options)->Append(word, ids);
    return ids;
  }
  Ids Words(const std::string& text, size_t max_ids = std::numeric_limits<size_t>::max()) const {
    Ids ids;
    WordPiece::Create(vocabulary_, {})->AppendText(text, max_ids, ids);
    return ids;
  }

  const Vocabulary vocabulary_ = *Vocabulary::Create(kSmallVocabulary);
};

TEST_F(WordPieceTest, LongestPieceFirst) {
  EXPECT_EQ(Pieces("unaffable"), (Ids{5, 6, 7}));
  EXPECT_EQ(Pieces("hello"), Ids{8});
  EXPECT_EQ(Pieces("abc"), (Ids{12, 16, 17}));
}

TEST_F(WordPieceTest, AWordWithAnUnknownPartIsUnknownAsAWhole) {
  EXPECT_EQ(Pieces("unaffablez"), Ids{kUnknown});
  EXPECT_EQ(Pieces("zun"), Ids{kUnknown});
  EXPECT_EQ(Pieces("aff"), Ids{kUnknown}) << "a piece for a word's inside";
  EXPECT_EQ(Pieces("helloworld"), Ids{kUnknown}) << "a piece for a word's beginning";
}

TEST_F(WordPieceTest, LengthIsCountedInCharacters) {
  const std::string a99(99, 'a');
  EXPECT_EQ(Pieces(a99 + "a").size(), 100u);
  EXPECT_EQ(Pieces(a99 + "aa"), Ids{kUnknown});
  const Vocabulary vocabulary = *Vocabulary::Create({"[UNK]", "你", "##你"});
  const auto pieces = WordPiece::Create(vocabulary, {});
  for (const size_t count : {100, 101}) {
    std::string word;
    for (size_t i = 0; i < count; ++i) {
      word += "你";
    }
    Ids ids;
    pieces->Append(word, ids);
    EXPECT_EQ(ids.size(), count == 100 ? 100u : 1u);
  }
}

TEST_F(WordPieceTest, OptionsAreFollowed) {
  EXPECT_EQ(Pieces("zzz", {.unknown_token = "b"}), Ids{13});
  EXPECT_EQ(Pieces("aaa", {.max_word_chars = 2}), Ids{kUnknown});
  EXPECT_EQ(Pieces("ab", {.continuation_prefix = ""}), (Ids{12, 13}));
  EXPECT_EQ(Pieces("ab", {.continuation_prefix = "@@"}), Ids{kUnknown});
  EXPECT_ERROR(WordPiece::Create(vocabulary_, {.unknown_token = "<unk>"}), ErrorCode::kInvalidData,
               "the unknown token '<unk>' is not in the vocabulary");
}

TEST_F(WordPieceTest, TextIsSplitAtBlanksAndPunctuation) {
  EXPECT_EQ(Words("hello world"), (Ids{8, 9}));
  EXPECT_EQ(Words("  hello,\tworld!! "), (Ids{8, 11, 9, 10, 10}));
  EXPECT_EQ(Words("hello\u3000world\u2028!\u00A0"), (Ids{8, 9, 10}));
  EXPECT_EQ(Words("a\u00BFb"), (Ids{12, kUnknown, 13}));
  EXPECT_EQ(Words(""), Ids{});
  EXPECT_EQ(Words(" \n"), Ids{});
}

TEST_F(WordPieceTest, StopsSoonAfterTheLimit) {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += "unaffable ";
  }
  EXPECT_EQ(Words(text, 4), (Ids{5, 6, 7, 5, 6, 7}));
  EXPECT_EQ(Words(text, 0), (Ids{5, 6, 7}));
}

}  // namespace
}  // namespace bertie::text
