#include "text/wordpiece.h"

#include "base/quote.h"
#include "text/unicode.h"

namespace bertie::text {
namespace {

constexpr size_t kFirstPlane = 0x10000;

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

WordPiece::CharClass WordPiece::Classify(char32_t c) {
  return IsWhitespace(c)    ? CharClass::kSpace
         : IsPunctuation(c) ? CharClass::kPunctuation
                            : CharClass::kWord;
}

// The class of the character at p; next is where the following one begins.
inline WordPiece::CharClass WordPiece::ClassAt(const char* p, const char*& next) const {
  next = p;
  const char32_t c = NextChar(next);
  return c < kFirstPlane ? first_plane_[c] : Classify(c);
}

WordPiece::WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options)
    : trie_(&vocabulary.trie()),
      options_(options),
      unknown_id_(vocabulary.Find(options.unknown_token)) {
  has_continuation_ = trie_->Walk(continuation_, options_.continuation_prefix);
  first_plane_.reserve(kFirstPlane);
  for (char32_t c = 0; c < kFirstPlane; ++c) {
    first_plane_.push_back(Classify(c));
  }
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
