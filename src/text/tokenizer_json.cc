#include "text/tokenizer_json.h"

#include <utility>

#include "base/quote.h"
#include "text/json_fields.h"

namespace bertie::text {

using formats::Json;

namespace {

constexpr int64_t kMaxId = static_cast<int64_t>(Vocabulary::kMaxTokens) - 1;

Error Unsupported(const std::string& where, const std::string& part, const Json* found,
                  const std::string& expected) {
  const std::string shown = found == nullptr     ? "missing"
                            : found->is_string() ? Quote(found->get_ref<const std::string&>())
                                                 : formats::JsonTypeName(*found);
  return {ErrorCode::kUnsupported,
          where + ": " + part + " is " + shown + ", and only " + expected + " is supported"};
}

// The member of that name, an object whose type is `type`.
Result<const Json*> PartOfType(const Json& json, const std::string& key, const std::string& type,
                               const std::string& where) {
  const Json* part = FindField(json, key);
  if (part == nullptr || !part->is_object()) {
    return Unsupported(where, key, part, type);
  }
  const Json* found = FindField(*part, "type");
  if (found == nullptr || *found != type) {
    return Unsupported(where, key + "'s type", found, type);
  }
  return part;
}

Status ParseNormalizer(const Json& json, const std::string& where, NormalizerOptions& options) {
  BERTIE_ASSIGN_OR_RETURN(const Json* part,
                          PartOfType(json, "normalizer", "BertNormalizer", where));
  const std::string place = where + ": normalizer";
  BERTIE_ASSIGN_OR_RETURN(options.clean_text, BoolField(*part, "clean_text", true, place));
  BERTIE_ASSIGN_OR_RETURN(options.separate_cjk,
                          BoolField(*part, "handle_chinese_chars", true, place));
  BERTIE_ASSIGN_OR_RETURN(options.strip_accents, OptionalBoolField(*part, "strip_accents", place));
  BERTIE_ASSIGN_OR_RETURN(options.lower_case, BoolField(*part, "lowercase", true, place));
  return {};
}

Result<std::vector<std::string>> ParseVocabulary(const Json& vocab, const std::string& where) {
  std::vector<std::string> tokens;
  if (vocab.size() > Vocabulary::kMaxTokens) {
    return Error{ErrorCode::kResourceExhausted,
                 where + ": vocab has " + std::to_string(vocab.size()) + " tokens, more than the " +
                     std::to_string(Vocabulary::kMaxTokens) + " supported"};
  }
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > static_cast<uint64_t>(kMaxId)) {
      return WrongField(where, "the id of " + Quote(token), id,
                        "an integer from 0 to " + std::to_string(kMaxId));
    }
    const auto index = id.get<size_t>();
    if (index >= tokens.size()) {
      tokens.resize(index + 1);
    }
    if (!tokens[index].empty()) {
      return Error{ErrorCode::kInvalidData, where + ": tokens " + Quote(tokens[index]) + " and " +
                                                Quote(token) + " have the same id, " +
                                                std::to_string(index)};
    }
    tokens[index] = token;
  }
  return tokens;
}

Status ParseModel(const Json& json, const std::string& where, TokenizerSpec& spec) {
  BERTIE_ASSIGN_OR_RETURN(const Json* model, PartOfType(json, "model", "WordPiece", where));
  const std::string place = where + ": model";
  auto& options = spec.wordpiece;
  BERTIE_ASSIGN_OR_RETURN(options.unknown_token, StringField(*model, "unk_token", place));
  BERTIE_ASSIGN_OR_RETURN(options.continuation_prefix,
                          StringField(*model, "continuing_subword_prefix", place));
  BERTIE_ASSIGN_OR_RETURN(const int64_t max_chars, IntegerField(*model, "max_input_chars_per_word",
                                                                int64_t{1} << 32, place));
  options.max_word_chars = static_cast<size_t>(max_chars);
  BERTIE_ASSIGN_OR_RETURN(const Json* vocab, ObjectField(*model, "vocab", place));
  BERTIE_ASSIGN_OR_RETURN(spec.vocabulary, ParseVocabulary(*vocab, place));
  return {};
}

Status ParseAddedTokens(const Json& json, const std::string& where,
                        std::vector<AddedToken>& added) {
  if (FindField(json, "added_tokens") == nullptr) {
    return {};
  }
  BERTIE_ASSIGN_OR_RETURN(const Json* list, ArrayField(json, "added_tokens", where));
  BERTIE_RETURN_IF_ERROR(CheckAddedCount(list->size(), where));
  for (size_t i = 0; i < list->size(); ++i) {
    BERTIE_ASSIGN_OR_RETURN(
        AddedToken token,
        ParseAddedToken((*list)[i], where + ": added_tokens[" + std::to_string(i) + "]"));
    added.push_back(std::move(token));
  }
  return {};
}

// BertProcessing: {"sep": ["[SEP]", 102], "cls": ["[CLS]", 101]}.
Result<int32_t> NamedId(const Json& processor, const std::string& key, const std::string& where) {
  BERTIE_ASSIGN_OR_RETURN(const Json* pair, ArrayField(processor, key, where));
  if (pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_number_unsigned() ||
      (*pair)[1].get<uint64_t>() > static_cast<uint64_t>(kMaxId)) {
    return Error{ErrorCode::kInvalidData, where + ": " + key + " is not a token and its id"};
  }
  return (*pair)[1].get<int32_t>();
}

// One element of a template: {"SpecialToken": {"id": "[CLS]", "type_id": 0}} or
// {"Sequence": {"id": "A", "type_id": 0}}. Returns its id when kind and type_id are as wanted, else
// "".
std::string TemplateElement(const Json& element, const char* kind, int type_id) {
  if (!element.is_object() || element.size() != 1 || !element.contains(kind)) {
    return "";
  }
  const Json& inner = element[kind];
  const Json* id = inner.is_object() ? FindField(inner, "id") : nullptr;
  const Json* type = inner.is_object() ? FindField(inner, "type_id") : nullptr;
  return id != nullptr && id->is_string() && type != nullptr && *type == type_id
             ? id->get<std::string>()
             : "";
}

// TemplateProcessing's special_tokens: {"[CLS]": {"id": "[CLS]", "ids": [101], ...}}.
Result<int32_t> TemplateId(const Json& special_tokens, const std::string& name,
                           const std::string& where) {
  BERTIE_ASSIGN_OR_RETURN(const Json* token, ObjectField(special_tokens, name, where));
  BERTIE_ASSIGN_OR_RETURN(const Json* ids, ArrayField(*token, "ids", where + ": " + name));
  if (ids->size() != 1 || !(*ids)[0].is_number_unsigned() ||
      (*ids)[0].get<uint64_t>() > static_cast<uint64_t>(kMaxId)) {
    return Error{ErrorCode::kInvalidData, where + ": " + name + ": ids is not one id"};
  }
  return (*ids)[0].get<int32_t>();
}

Status ParseTemplate(const Json& processor, const std::string& where, TokenizerSpec& spec) {
  BERTIE_ASSIGN_OR_RETURN(const Json* single, ArrayField(processor, "single", where));
  BERTIE_ASSIGN_OR_RETURN(const Json* pair, ArrayField(processor, "pair", where));
  BERTIE_ASSIGN_OR_RETURN(const Json* tokens, ObjectField(processor, "special_tokens", where));
  const std::string cls =
      single->size() == 3 ? TemplateElement((*single)[0], "SpecialToken", 0) : "";
  const std::string sep =
      single->size() == 3 ? TemplateElement((*single)[2], "SpecialToken", 0) : "";
  if (cls.empty() || sep.empty() || TemplateElement((*single)[1], "Sequence", 0) != "A" ||
      pair->size() != 5 || TemplateElement((*pair)[0], "SpecialToken", 0) != cls ||
      TemplateElement((*pair)[1], "Sequence", 0) != "A" ||
      TemplateElement((*pair)[2], "SpecialToken", 0) != sep ||
      TemplateElement((*pair)[3], "Sequence", 1) != "B" ||
      TemplateElement((*pair)[4], "SpecialToken", 1) != sep) {
    return Error{ErrorCode::kUnsupported,
                 where +
                     ": the template is not [CLS] A [SEP] and [CLS] A [SEP] B [SEP], and no "
                     "other is supported"};
  }
  const std::string place = where + ": special_tokens";
  BERTIE_ASSIGN_OR_RETURN(spec.cls_id, TemplateId(*tokens, cls, place));
  BERTIE_ASSIGN_OR_RETURN(spec.sep_id, TemplateId(*tokens, sep, place));
  return {};
}

Status ParsePostProcessor(const Json& json, const std::string& where, TokenizerSpec& spec) {
  const Json* processor = FindField(json, "post_processor");
  const Json* type =
      processor != nullptr && processor->is_object() ? FindField(*processor, "type") : processor;
  const std::string place = where + ": post_processor";
  if (type != nullptr && *type == "TemplateProcessing") {
    return ParseTemplate(*processor, place, spec);
  }
  if (type != nullptr && *type == "BertProcessing") {
    BERTIE_ASSIGN_OR_RETURN(spec.cls_id, NamedId(*processor, "cls", place));
    BERTIE_ASSIGN_OR_RETURN(spec.sep_id, NamedId(*processor, "sep", place));
    return {};
  }
  return Unsupported(where, "post_processor", type, "TemplateProcessing or BertProcessing");
}

Json TemplateElementJson(const char* kind, const std::string& id, int type_id) {
  return {{kind, {{"id", id}, {"type_id", type_id}}}};
}

std::string TokenOf(int32_t id, const TokenizerSpec& spec, const AddedTokens& added) {
  const std::string_view token = added.token(id);
  return token.empty() ? spec.vocabulary[static_cast<size_t>(id)] : std::string(token);
}

Json PostProcessorJson(const TokenizerSpec& spec, const AddedTokens& added) {
  const int32_t cls_id = spec.cls_id.value_or(0);
  const int32_t sep_id = spec.sep_id.value_or(0);
  const std::string cls = TokenOf(cls_id, spec, added);
  const std::string sep = TokenOf(sep_id, spec, added);
  const auto special = [](const std::string& name, int32_t id) {
    return Json{{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
  };
  const Json single = Json::array({TemplateElementJson("SpecialToken", cls, 0),
                                   TemplateElementJson("Sequence", "A", 0),
                                   TemplateElementJson("SpecialToken", sep, 0)});
  Json pair = single;
  pair.push_back(TemplateElementJson("Sequence", "B", 1));
  pair.push_back(TemplateElementJson("SpecialToken", sep, 1));
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", {{cls, special(cls, cls_id)}, {sep, special(sep, sep_id)}}}};
}

}  // namespace

Result<TokenizerSpec> ParseTokenizerJson(const Json& json, const std::string& where) {
  if (!json.is_object()) {
    return WrongField(where, "the file", json, "an object");
  }
  if (const Json* version = FindField(json, "version"); version != nullptr && *version != "1.0") {
    return Unsupported(where, "version", version, "1.0");
  }
  TokenizerSpec spec;
  BERTIE_RETURN_IF_ERROR(ParseModel(json, where, spec));
  BERTIE_RETURN_IF_ERROR(ParseNormalizer(json, where, spec.normalizer));
  spec.added_normalizer = spec.normalizer;
  BERTIE_ASSIGN_OR_RETURN([[maybe_unused]] const Json* pre_tokenizer,
                          PartOfType(json, "pre_tokenizer", "BertPreTokenizer", where));
  BERTIE_RETURN_IF_ERROR(ParsePostProcessor(json, where, spec));
  BERTIE_RETURN_IF_ERROR(ParseAddedTokens(json, where, spec.added));
  return spec;
}

Json MakeTokenizerJson(const TokenizerSpec& spec, const AddedTokens& added) {
  Json added_tokens = Json::array();
  for (const auto& [id, token] : added.by_id()) {
    Json entry = AddedTokenToJson(token);
    entry["id"] = id;
    added_tokens.push_back(std::move(entry));
  }
  Json vocab = Json::object();
  for (size_t id = 0; id < spec.vocabulary.size(); ++id) {
    if (!spec.vocabulary[id].empty()) {
      vocab[spec.vocabulary[id]] = id;
    }
  }
  const NormalizerOptions& normalizer = spec.normalizer;
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added_tokens)},
      {"normalizer",
       {{"type", "BertNormalizer"},
        {"clean_text", normalizer.clean_text},
        {"handle_chinese_chars", normalizer.separate_cjk},
        {"strip_accents",
         normalizer.strip_accents ? Json(*normalizer.strip_accents) : Json(nullptr)},
        {"lowercase", normalizer.lower_case}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor", PostProcessorJson(spec, added)},
      {"decoder",
       {{"type", "WordPiece"}, {"prefix", spec.wordpiece.continuation_prefix}, {"cleanup", true}}},
      {"model",
       {{"type", "WordPiece"},
        {"unk_token", spec.wordpiece.unknown_token},
        {"continuing_subword_prefix", spec.wordpiece.continuation_prefix},
        {"max_input_chars_per_word", spec.wordpiece.max_word_chars},
        {"vocab", std::move(vocab)}}}};
}

}  // namespace bertie::text
