// From tokens back to text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace bertie::text {

// Characters [begin, end) of a text, as Python counts them.
struct TokenSpan {
  size_t begin = 0;
  size_t end = 0;
};

// Which characters of the text each token stands for; ids are Encode's without what it puts around
// the text. A character that the normaliser drops belongs to no token. nullopt for a token that
// cannot be found in the text by looking at one character after another, and for those after it
// (combining marks that change places). Linear in the text's length.
std::vector<std::optional<TokenSpan>> FindTokenSpans(const Tokenizer& tokenizer,
                                                     std::string_view text,
                                                     std::span<const int32_t> ids);

// Words joined by blanks and pieces to words, as the WordPiece decoder of Hugging Face's tokenizers
// does, clean-up included. Ids without a token are left out.
std::string DecodeTokens(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                         bool skip_special);

}  // namespace bertie::text
