#include "text/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "base/quote.h"
#include "text/json_fields.h"

namespace bertie::text {

using formats::Json;

namespace {

constexpr char kConfigName[] = "tokenizer_config.json";
constexpr char kSpecialName[] = "special_tokens_map.json";
constexpr char kAddedName[] = "added_tokens.json";

// The names and defaults of BERT's special tokens.
struct Role {
  const char* key;
  const char* name;
  AddedToken SpecialTokens::*token;
};
constexpr Role kRoles[] = {{"unk_token", "[UNK]", &SpecialTokens::unknown},
                           {"sep_token", "[SEP]", &SpecialTokens::separator},
                           {"pad_token", "[PAD]", &SpecialTokens::padding},
                           {"cls_token", "[CLS]", &SpecialTokens::classification},
                           {"mask_token", "[MASK]", &SpecialTokens::mask}};
constexpr const char* kOtherRoles[] = {"bos_token", "eos_token"};
constexpr char kPadTo[] = "bertie_pad_to";
constexpr char kSingleType[] = "bertie_single_type";
constexpr char kAdditional[] = "additional_special_tokens";

// A special token is written as its name or as an object with flags.
Result<AddedToken> ParseSpecialToken(const Json& value, const std::string& where) {
  AddedToken token;
  if (value.is_string()) {
    token.content = value.get<std::string>();
  } else if (value.is_object()) {
    BERTIE_ASSIGN_OR_RETURN(token, ParseAddedToken(value, where));
  } else {
    return WrongField(where, "the token", value, "a string or an object");
  }
  token.special = true;
  return token;
}

void AddOther(const AddedToken& token, std::vector<AddedToken>& others) {
  const bool known = std::any_of(others.begin(), others.end(), [&token](const AddedToken& other) {
    return other.content == token.content;
  });
  if (!known) {
    others.push_back(token);
  }
}

// Sets the special tokens that the object names.
Status ReadSpecialTokens(const Json& object, const std::string& where, SpecialTokens& special) {
  for (const Role& role : kRoles) {
    const Json* value = FindField(object, role.key);
    if (value != nullptr && !value->is_null()) {
      BERTIE_ASSIGN_OR_RETURN(special.*role.token,
                              ParseSpecialToken(*value, where + ": " + role.key));
    }
  }
  for (const char* key : kOtherRoles) {
    const Json* value = FindField(object, key);
    if (value != nullptr && !value->is_null()) {
      BERTIE_ASSIGN_OR_RETURN(const AddedToken token,
                              ParseSpecialToken(*value, where + ": " + key));
      AddOther(token, special.others);
    }
  }
  const Json* additional = FindField(object, kAdditional);
  if (additional == nullptr || additional->is_null()) {
    return {};
  }
  if (!additional->is_array()) {
    return WrongField(where, kAdditional, *additional, "an array");
  }
  constexpr size_t kMaxAdditional = 1000;
  if (additional->size() > kMaxAdditional) {
    return Error{ErrorCode::kResourceExhausted,
                 where + ": over " + std::to_string(kMaxAdditional) + " " + kAdditional};
  }
  for (const Json& value : *additional) {
    BERTIE_ASSIGN_OR_RETURN(const AddedToken token,
                            ParseSpecialToken(value, where + ": " + kAdditional));
    AddOther(token, special.others);
  }
  return {};
}

// {"103": {"content": "[MASK]", ...}, ...}
Status ReadDecoder(const Json& decoder, const std::string& where,
                   std::map<int64_t, AddedToken>& added) {
  BERTIE_RETURN_IF_ERROR(CheckAddedCount(decoder.size(), where));
  for (const auto& [key, value] : decoder.items()) {
    int64_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      return Error{ErrorCode::kInvalidData,
                   where + ": added_tokens_decoder: " + Quote(key) + " is not a token's id"};
    }
    BERTIE_ASSIGN_OR_RETURN(
        added[id], ParseAddedToken(value, where + ": added_tokens_decoder: " + Quote(key)));
  }
  return {};
}

bool IsSpecial(const std::string& content, const SpecialTokens& special) {
  const auto has_content = [&content](const AddedToken& t) { return t.content == content; };
  return std::any_of(std::begin(kRoles), std::end(kRoles),
                     [&](const Role& role) { return has_content(special.*role.token); }) ||
         std::any_of(special.others.begin(), special.others.end(), has_content);
}

// added_tokens.json, of before added_tokens_decoder: {"token": id, ...}
Status ReadAddedTokens(const Json& object, const std::string& where, const SpecialTokens& special,
                       std::map<int64_t, AddedToken>& added) {
  if (!object.is_object()) {
    return WrongField(where, "the file", object, "an object");
  }
  BERTIE_RETURN_IF_ERROR(CheckAddedCount(object.size(), where));
  for (const auto& [content, id] : object.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= Vocabulary::kMaxTokens) {
      return WrongField(where, "the id of " + Quote(content), id,
                        "an integer below " + std::to_string(Vocabulary::kMaxTokens));
    }
    AddedToken token;
    token.content = content;
    token.special = IsSpecial(content, special);
    token.normalized = !token.special;
    added[id.get<int64_t>()] = std::move(token);
  }
  return {};
}

Status ReadOptions(const Json& object, const std::string& where, TokenizerConfig& config) {
  BERTIE_ASSIGN_OR_RETURN(config.do_lower_case, BoolField(object, "do_lower_case", true, where));
  BERTIE_ASSIGN_OR_RETURN(config.strip_accents, OptionalBoolField(object, "strip_accents", where));
  BERTIE_ASSIGN_OR_RETURN(config.tokenize_chinese_chars,
                          BoolField(object, "tokenize_chinese_chars", true, where));
  const Json* tokenizer_class = FindField(object, "tokenizer_class");
  config.keeps_normalizer =
      tokenizer_class != nullptr && *tokenizer_class == "PreTrainedTokenizerFast";
  BERTIE_ASSIGN_OR_RETURN(config.trace.single_type, BoolField(object, kSingleType, false, where));
  if (const Json* length = FindField(object, kPadTo)) {
    constexpr uint64_t kLongest = 1 << 17;
    if (!length->is_number_unsigned() || length->get<uint64_t>() > kLongest) {
      return WrongField(where, kPadTo, *length, "a number of tokens");
    }
    config.trace.pad_to = length->get<size_t>();
  }
  return {};
}

}  // namespace

Result<TokenizerConfig> ParseTokenizerConfig(const TokenizerConfigFiles& files) {
  TokenizerConfig config;
  for (const Role& role : kRoles) {
    (config.special.*role.token).content = role.name;
    (config.special.*role.token).special = true;
  }
  std::map<int64_t, AddedToken> added;
  const std::string where = files.dir + kConfigName;
  const Json* decoder = nullptr;
  if (!files.tokenizer_config.is_null()) {
    if (!files.tokenizer_config.is_object()) {
      return WrongField(where, "the file", files.tokenizer_config, "an object");
    }
    BERTIE_RETURN_IF_ERROR(ReadOptions(files.tokenizer_config, where, config));
    BERTIE_RETURN_IF_ERROR(ReadSpecialTokens(files.tokenizer_config, where, config.special));
    if (FindField(files.tokenizer_config, "added_tokens_decoder") != nullptr) {
      BERTIE_ASSIGN_OR_RETURN(decoder,
                              ObjectField(files.tokenizer_config, "added_tokens_decoder", where));
      BERTIE_RETURN_IF_ERROR(ReadDecoder(*decoder, where, added));
    }
  }
  if (decoder == nullptr && !files.special_tokens_map.is_null()) {
    const std::string special_where = files.dir + kSpecialName;
    if (!files.special_tokens_map.is_object()) {
      return WrongField(special_where, "the file", files.special_tokens_map, "an object");
    }
    BERTIE_RETURN_IF_ERROR(
        ReadSpecialTokens(files.special_tokens_map, special_where, config.special));
  }
  if (decoder == nullptr && !files.added_tokens.is_null()) {
    BERTIE_RETURN_IF_ERROR(
        ReadAddedTokens(files.added_tokens, files.dir + kAddedName, config.special, added));
  }
  for (auto& [id, token] : added) {
    token.special = token.special || IsSpecial(token.content, config.special);
    config.added.push_back(token);
  }
  return config;
}

void ApplyTokenizerConfig(const TokenizerConfig& config, TokenizerSpec& spec) {
  if (!config.keeps_normalizer) {
    spec.normalizer.lower_case = config.do_lower_case;
    spec.normalizer.strip_accents = config.strip_accents;
    spec.normalizer.separate_cjk = config.tokenize_chinese_chars;
  }
  spec.special = config.special;
  spec.trace = config.trace;
  std::multimap<std::string, AddedToken> in_file;
  for (const AddedToken& token : spec.added) {
    in_file.emplace(token.content, token);
  }
  for (const AddedToken& token : config.added) {
    const auto [begin, end] = in_file.equal_range(token.content);
    const bool known = std::any_of(begin, end, [&token](const auto& content_and_token) {
      return content_and_token.second == token;
    });
    if (!known) {
      spec.added.push_back(token);
    }
  }
}

Json MakeTokenizerConfig(const TokenizerSpec& spec, const AddedTokens& added, size_t max_length) {
  Json decoder = Json::object();
  for (const auto& [id, token] : added.by_id()) {
    decoder[std::to_string(id)] = AddedTokenToJson(token);
  }
  const NormalizerOptions& normalizer = spec.normalizer;
  Json config = MakeSpecialTokensMap(spec);
  config["added_tokens_decoder"] = std::move(decoder);
  config["clean_up_tokenization_spaces"] = true;
  config["do_lower_case"] = normalizer.lower_case;
  config["model_max_length"] = max_length;
  config["strip_accents"] =
      normalizer.strip_accents ? Json(*normalizer.strip_accents) : Json(nullptr);
  config["tokenize_chinese_chars"] = normalizer.separate_cjk;
  config["tokenizer_class"] = "BertTokenizer";
  if (spec.trace.pad_to > 0) config[kPadTo] = spec.trace.pad_to;
  if (spec.trace.single_type) config[kSingleType] = true;
  return config;
}

Json MakeSpecialTokensMap(const TokenizerSpec& spec) {
  Json map = Json::object();
  for (const Role& role : kRoles) {
    map[role.key] = (spec.special.*role.token).content;
  }
  if (!spec.special.others.empty()) {
    map[kAdditional] = Json::array();
    for (const AddedToken& token : spec.special.others) {
      map[kAdditional].push_back(token.content);
    }
  }
  return map;
}

}  // namespace bertie::text
