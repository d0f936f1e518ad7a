#include "text/detokenizer.h"

#include <utility>

#include "text/normalizer.h"
#include "text/unicode.h"

namespace bertie::text {
namespace {

// A text, what it becomes when each character is normalised by itself, and where that comes from.
class Aligned {
 public:
  Aligned(const Normalizer& normalizer, std::string_view text) : text_(text) {
    std::string one;
    const char* const end = text.data() + text.size();
    for (const char* p = text.data(); p < end;) {
      const char* const begin = p;
      NextChar(p);
      normalizer.Normalize({begin, static_cast<size_t>(p - begin)}, one);
      normal_ += one;
      char_of_.resize(normal_.size(), starts_.size());
      starts_.push_back(static_cast<size_t>(begin - text.data()));
    }
  }

  // The next token's characters; nullopt where it is not here.
  std::optional<TokenSpan> Take(std::string_view token, std::string_view prefix, bool unknown) {
    std::string_view piece = token;
    if (piece.size() > prefix.size() && piece.starts_with(prefix)) {
      piece.remove_prefix(prefix.size());
    }
    SkipBlanks();
    if (at_ >= normal_.size()) return std::nullopt;
    if (unknown) return TakeBytes(WordSize());
    if (std::string_view(normal_).substr(at_).starts_with(piece)) return TakeBytes(piece.size());
    return TakeRaw(token);
  }

 private:
  char32_t CharAt(size_t at, size_t& next) const {
    const char* p = normal_.data() + at;
    const char32_t c = NextChar(p);
    next = static_cast<size_t>(p - normal_.data());
    return c;
  }

  void SkipBlanks() {
    for (size_t next = 0; at_ < normal_.size() && IsWhitespace(CharAt(at_, next));) at_ = next;
  }

  // Bytes to the end of the word, or of the punctuation character.
  size_t WordSize() const {
    size_t end = at_;
    for (size_t next = 0; end < normal_.size(); end = next) {
      const char32_t c = CharAt(end, next);
      if (IsWhitespace(c)) break;
      if (IsPunctuation(c)) return (end == at_ ? next : end) - at_;
    }
    return end - at_;
  }

  TokenSpan TakeBytes(size_t size) {
    const TokenSpan span{char_of_[at_], char_of_[at_ + size - 1] + 1};
    at_ += size;
    return span;
  }

  // A token that is looked for before the text is normalised, such as [MASK].
  std::optional<TokenSpan> TakeRaw(std::string_view token) {
    const size_t first = char_of_[at_];
    if (token.empty() || !text_.substr(starts_[first]).starts_with(token)) return std::nullopt;
    size_t last = first;
    while (last < starts_.size() && starts_[last] < starts_[first] + token.size()) ++last;
    while (at_ < normal_.size() && char_of_[at_] < last) ++at_;
    return TokenSpan{first, last};
  }

  const std::string_view text_;
  std::string normal_;
  std::vector<size_t> char_of_;  // of each byte of normal_
  std::vector<size_t> starts_;   // of each character in text_
  size_t at_ = 0;                // in normal_
};

void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

std::vector<std::optional<TokenSpan>> FindTokenSpans(const Tokenizer& tokenizer,
                                                     std::string_view text,
                                                     std::span<const int32_t> ids) {
  std::string repaired;
  if (ValidUtf8Prefix(text) != text.size()) {
    repaired = ReplaceInvalidUtf8(text);
    text = repaired;
  }
  std::vector<std::optional<TokenSpan>> spans(ids.size());
  Aligned aligned(tokenizer.normalizer(), text);
  for (size_t i = 0; i < ids.size(); ++i) {
    spans[i] = aligned.Take(tokenizer.token(ids[i]), tokenizer.continuation_prefix(),
                            ids[i] == tokenizer.unk_id());
    if (!spans[i]) break;
  }
  return spans;
}

std::string DecodeTokens(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                         bool skip_special) {
  static constexpr std::pair<std::string_view, std::string_view> kCleanUp[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  const std::string_view prefix = tokenizer.continuation_prefix();
  std::string text;
  bool first = true;
  for (const int32_t id : ids) {
    std::string_view token = tokenizer.token(id);
    if (token.empty() || (skip_special && tokenizer.special(id))) continue;
    std::string part;
    if (!std::exchange(first, false)) {
      if (token.starts_with(prefix)) {
        token.remove_prefix(prefix.size());
      } else {
        part = " ";
      }
    }
    part += token;
    for (const auto& [from, to] : kCleanUp) ReplaceAll(part, from, to);
    text += part;
  }
  return text;
}

}  // namespace bertie::text
