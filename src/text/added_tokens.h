// Tokens found in the text before (or right after) it is normalised, such as [SEP] and [MASK].
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/normalizer.h"
#include "text/trie.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

namespace bertie::text {

struct AddedToken {
  std::string content;
  bool single_word = false;  // only where no word character stands beside it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and that after it
  bool normalized = false;   // its normalised form is looked for, in the normalised text
  bool special = false;

  bool operator==(const AddedToken&) const = default;
};

// A set of them with ids, under the rules of Hugging Face's AddedVocabulary: a token of the
// vocabulary keeps its id, another gets the next one free; one that is added again takes its new
// flags, but for `normalized` of a special token.
class AddedTokens {
 public:
  // Where a token is looked for.
  enum class Stage { kRaw, kNormalized };

  // Adds one. A token that is equal to one already there, or empty, changes nothing.
  void Add(const AddedToken& token, const Vocabulary& vocabulary);

  // Prepares the search; call it after the last Add. kResourceExhausted: a token is too long.
  Status Build(const Normalizer& normalizer);

  // The content of the token with this id; "" when it is not one of these.
  std::string_view token(int32_t id) const;
  // Vocabulary::kNoId when it is not one of these.
  int32_t Find(std::string_view content) const;

  const std::map<int32_t, AddedToken>& by_id() const { return by_id_; }

  // Whether some token waits for the normalised text.
  bool any_normalized() const { return !normalized_.trie_is_empty; }

  // Cuts text at the tokens of the stage, leftmost first, longest where several begin: calls
  // on_text(string_view) for each part between that is not empty, and on_token(id) for each token,
  // from left to right. Linear in the text's length.
  template <class OnText, class OnToken>
  void Split(std::string_view text, Stage stage, OnText on_text, OnToken on_token) const;

 private:
  struct Pattern {
    Trie trie;
    bool trie_is_empty = true;
    std::array<bool, 256> begins{};  // the first bytes of the keys
    std::optional<char> only_begin;  // where all keys have the same one, as BERT's have '['
  };
  struct Found {
    size_t begin = 0;
    size_t end = 0;
    int32_t id = 0;
  };

  static Result<Pattern> MakePattern(const std::vector<std::pair<std::string, int32_t>>& keys);
  // The first place at or after from whose byte begins a key; text.size() when there is none.
  static size_t NextBegin(const Pattern& pattern, std::string_view text, size_t from);
  // The leftmost longest token at or after begin; false when there is none.
  static bool Search(const Pattern& pattern, std::string_view text, size_t begin, Found& found);
  static bool StandsAlone(std::string_view text, const Found& found);
  static size_t SkipSpaceBack(std::string_view text, size_t from, size_t lowest);
  static size_t SkipSpace(std::string_view text, size_t from);

  // In the order of their coming, since of two equal normalised forms the first counts.
  std::vector<AddedToken> special_;
  std::vector<AddedToken> ordinary_;
  std::map<std::string, bool, std::less<>> special_normalized_;
  std::map<std::string, int32_t, std::less<>> ids_;
  std::map<int32_t, AddedToken> by_id_;
  int32_t highest_id_ = -1;
  Pattern raw_;
  Pattern normalized_;
};

template <class OnText, class OnToken>
void AddedTokens::Split(std::string_view text, Stage stage, OnText on_text,
                        OnToken on_token) const {
  const Pattern& pattern = stage == Stage::kNormalized ? normalized_ : raw_;
  size_t covered = 0;
  size_t space_end = 0;  // where the white space that was last walked over ends
  Found found;
  for (size_t from = 0; Search(pattern, text, from, found);) {
    from = found.end;
    const AddedToken& token = by_id_.at(found.id);
    if (token.single_word && !StandsAlone(text, found)) {
      continue;
    }
    size_t begin = found.begin;
    size_t end = found.end;
    if (token.lstrip) {
      begin = SkipSpaceBack(text, begin, covered);
    }
    if (token.rstrip) {
      // Tokens that are white space themselves would else walk over the same stretch each time.
      space_end = end < space_end ? space_end : SkipSpace(text, end);
      end = space_end;
    }
    if (covered < begin) {
      on_text(text.substr(covered, begin - covered));
    }
    on_token(found.id);
    covered = end;
  }
  if (covered < text.size()) {
    on_text(text.substr(covered));
  }
}

}  // namespace bertie::text
