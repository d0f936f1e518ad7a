// Answers of TEI's /tokenize and /decode.
#pragma once

#include <string>

#include "serve/tei/tei_message.h"
#include "text/tokenizer.h"

namespace bertie::serve {

// [[{"id", "text", "special", "start", "stop"}, ...], ...]: text is the part of the input that a
// token stands for, from start to stop, in characters; of special tokens the token, and no place.
std::string FormatTeiTokens(const TeiTokenize& request, const text::Tokenizer& tokenizer);

// ["text", ...].
std::string FormatTeiTexts(const TeiDecode& request, const text::Tokenizer& tokenizer);

}  // namespace bertie::serve
