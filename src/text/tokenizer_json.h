// tokenizer.json, the file of Hugging Face's `tokenizers`, in and out.
#pragma once

#include <string>

#include "base/status.h"
#include "formats/json.h"
#include "text/tokenizer_spec.h"

namespace bertie::text {

// Fills the vocabulary, wordpiece, normalizer, added tokens, cls_id and sep_id of a spec. The parts
// that do not change ids (decoder), and those that the caller decides (truncation, padding), are
// ignored. kUnsupported: another model than WordPiece, another normalizer or pre_tokenizer than
// BERT's, or a post_processor that does other than [CLS] A [SEP] B [SEP]. kInvalidData: fields
// missing or of a wrong type, an id twice or too large.
Result<TokenizerSpec> ParseTokenizerJson(const formats::Json& json, const std::string& where);

// The special tokens, cls_id and sep_id of the spec must be set, and its vocabulary; the added
// tokens are those of `added`.
formats::Json MakeTokenizerJson(const TokenizerSpec& spec, const AddedTokens& added);

}  // namespace bertie::text
