// All that makes a tokenizer, as read from a model folder and written to one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/wordpiece.h"

namespace bertie::text {

// The special tokens by what they are for.
struct SpecialTokens {
  AddedToken unknown;
  AddedToken separator;
  AddedToken padding;
  AddedToken classification;
  AddedToken mask;
  std::vector<AddedToken> others;  // bos_token, eos_token, additional_special_tokens
};

// How a model that was traced (model/script_folder.h) wants its input; kept in
// tokenizer_config.json.
struct TokenizerTrace {
  // The model knows no attention mask and was traced with texts of so many tokens, [PAD] at the end
  // and attended to like any other. 0: texts as long as they are. ("bertie_pad_to")
  size_t pad_to = 0;
  // The model takes no token types: those of a pair are all 0. ("bertie_single_type")
  bool single_type = false;
};

struct TokenizerSpec {
  std::vector<std::string> vocabulary;  // by id; "" for an id without a token
  NormalizerOptions normalizer;
  WordPieceOptions wordpiece;
  std::vector<AddedToken> added;  // in the order in which they are added
  // What makes the normalised forms of added tokens; unset: normalizer. Where tokenizer_config.json
  // overrides tokenizer.json's, transformers leaves the forms as they were.
  std::optional<NormalizerOptions> added_normalizer;
  SpecialTokens special;
  // What stands around the text. tokenizer.json says it by id; unset: by the names in special.
  std::optional<int32_t> cls_id;
  std::optional<int32_t> sep_id;
  TokenizerTrace trace;
};

// tokenizer.json if it is there, else vocab.txt; then tokenizer_config.json,
// special_tokens_map.json and added_tokens.json where they are, as transformers'
// BertTokenizerFast.from_pretrained does.
Result<TokenizerSpec> ReadTokenizerSpec(const std::filesystem::path& dir);

// Writes vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json. The special
// tokens, cls_id and sep_id must be set; the added tokens are those of `added`, not spec.added.
Status WriteTokenizerSpec(const TokenizerSpec& spec, const AddedTokens& added, size_t max_length,
                          const std::filesystem::path& dir);

}  // namespace bertie::text
