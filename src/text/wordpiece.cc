#include "text/wordpiece.h"

#include <algorithm>
#include <array>

#include "base/quote.h"
#include "text/unicode.h"

namespace bertie::text {
namespace {

enum class CharClass : uint8_t { kWord, kSpace, kPunctuation };

CharClass Classify(char32_t c) {
  return IsWhitespace(c)    ? CharClass::kSpace
         : IsPunctuation(c) ? CharClass::kPunctuation
                            : CharClass::kWord;
}

constexpr std::array<CharClass, 128> MakeAsciiClasses() {
  std::array<CharClass, 128> classes{};
  for (char32_t c = 0; c < 128; ++c) {
    const bool is_space = c == ' ' || (c >= '\t' && c <= '\r');
    const bool is_alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    const bool is_control = c < 0x20 || c == 0x7F;
    classes[c] = is_space                        ? CharClass::kSpace
                 : is_alphanumeric || is_control ? CharClass::kWord
                                                 : CharClass::kPunctuation;
  }
  return classes;
}

constexpr std::array<CharClass, 128> kAsciiClasses = MakeAsciiClasses();

// The class of the character at p; next is where the following one begins.
inline CharClass ClassAt(const char* p, const char*& next) {
  const auto byte = static_cast<uint8_t>(*p);
  if (byte < 0x80) {
    next = p + 1;
    return kAsciiClasses[byte];
  }
  next = p;
  return Classify(NextChar(next));
}

bool HasMoreChars(std::string_view word, size_t limit) {
  if (word.size() <= limit) {
    return false;
  }
  size_t chars = 0;
  for (const char byte : word) {
    chars += !IsContinuationByte(byte);
  }
  return chars > limit;
}

}  // namespace

WordPiece::WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options)
    : trie_(&vocabulary.trie()),
      options_(options),
      unknown_id_(vocabulary.Find(options.unknown_token)) {
  has_continuation_ = trie_->Walk(continuation_, options_.continuation_prefix);
}

Result<WordPiece> WordPiece::Create(const Vocabulary& vocabulary, const WordPieceOptions& options) {
  WordPiece wordpiece(vocabulary, options);
  if (wordpiece.unknown_id_ == Vocabulary::kNoId) {
    return Error{ErrorCode::kInvalidData,
                 "the unknown token " + Quote(options.unknown_token) + " is not in the vocabulary"};
  }
  return wordpiece;
}

void WordPiece::Append(std::string_view word, std::vector<int32_t>& ids) const {
  const size_t old_size = ids.size();
  if (!HasMoreChars(word, options_.max_word_chars)) {
    int32_t id = 0;
    size_t length = trie_->LongestMatch(word, Trie::kRoot, id);
    while (length > 0) {
      ids.push_back(id);
      word.remove_prefix(length);
      if (word.empty()) {
        return;
      }
      length = has_continuation_ ? trie_->LongestMatch(word, continuation_, id) : 0;
    }
  }
  ids.resize(old_size);
  ids.push_back(unknown_id_);
}

void WordPiece::AppendText(std::string_view text, size_t max_ids, std::vector<int32_t>& ids) const {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end && ids.size() <= max_ids) {
    const char* next = nullptr;
    const CharClass first = ClassAt(p, next);
    if (first == CharClass::kWord) {
      const char* after = nullptr;
      while (next < end && ClassAt(next, after) == CharClass::kWord) {
        next = after;
      }
    }
    if (first != CharClass::kSpace) {
      Append({p, static_cast<size_t>(next - p)}, ids);
    }
    p = next;
  }
}

}  // namespace bertie::text
