// The tokens of a model and their ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/trie.h"

namespace bertie::text {

// Immutable after it is made; const members may be called from any thread.
class Vocabulary {
 public:
  static constexpr size_t kMaxTokens = size_t{1} << 22;
  static constexpr int32_t kNoId = -1;

  // tokens[id], "" for an id without a token. kInvalidData: a token twice, or invalid UTF-8 in one;
  // kResourceExhausted: over kMaxTokens, or one longer than Trie::kMaxKeyBytes.
  static Result<Vocabulary> Create(std::vector<std::string> tokens);

  // The tokens of a vocab.txt: one a line, the line's number from 0 its id. Lines end as Python's
  // text files do, with \n, \r\n or \r. Errors name the line.
  static Result<std::vector<std::string>> ParseLines(std::string_view text,
                                                     const std::string& where);

  // The token's id, or kNoId.
  int32_t Find(std::string_view token) const;

  // "" when out of range.
  std::string_view token(int32_t id) const;

  // One more than the highest id.
  size_t size() const { return tokens_.size(); }
  // Ids that have a token.
  size_t count() const { return count_; }

  const Trie& trie() const { return trie_; }
  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  std::vector<std::string> tokens_;
  size_t count_ = 0;
  Trie trie_;
};

}  // namespace bertie::text
