// tokenizer_config.json, special_tokens_map.json and added_tokens.json of a model folder.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/json.h"
#include "text/tokenizer_spec.h"

namespace bertie::text {

struct TokenizerConfig {
  bool do_lower_case = true;
  std::optional<bool> strip_accents;
  bool tokenize_chinese_chars = true;
  // The class named is one that leaves tokenizer.json's normalizer as it is; BERT's own puts the
  // three above in its place.
  bool keeps_normalizer = false;
  TokenizerTrace trace;
  SpecialTokens special;
  std::vector<AddedToken> added;  // by ascending id
};

// The files' contents, with their names for messages. null where there is no such file.
struct TokenizerConfigFiles {
  formats::Json tokenizer_config;
  formats::Json special_tokens_map;
  formats::Json added_tokens;
  std::string dir;
};

// As transformers reads them: special_tokens_map.json and added_tokens.json count only where
// tokenizer_config.json has no added_tokens_decoder. kInvalidData: a field of a wrong type.
Result<TokenizerConfig> ParseTokenizerConfig(const TokenizerConfigFiles& files);

// Completes a spec that was read from tokenizer.json or vocab.txt. What the spec has already is not
// added to it again: its place in the order would change.
void ApplyTokenizerConfig(const TokenizerConfig& config, TokenizerSpec& spec);

formats::Json MakeTokenizerConfig(const TokenizerSpec& spec, const AddedTokens& added,
                                  size_t max_length);
formats::Json MakeSpecialTokensMap(const TokenizerSpec& spec);

}  // namespace bertie::text
