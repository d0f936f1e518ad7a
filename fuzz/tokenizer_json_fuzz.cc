// tokenizer.json and tokenizer_config.json: what is accepted makes a tokenizer that can be written,
// read back and used. The input is two JSON texts with a NUL between; when the first begins with
// '+' it is what changes in a good tokenizer.json (RFC 7396), so that little is needed to get deep.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "formats/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_spec.h"

namespace {

using namespace bertie::text;
using bertie::formats::Json;
using bertie::formats::JsonLimits;
using bertie::formats::ParseJson;

constexpr char kGood[] = R"({"version": "1.0", "added_tokens": [
 {"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false,
  "normalized": false, "special": true}],
 "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
  "strip_accents": null, "lowercase": true},
 "pre_tokenizer": {"type": "BertPreTokenizer"},
 "post_processor": {"type": "TemplateProcessing",
  "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
   {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
  "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
   {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
   {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
  "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
   "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
  "max_input_chars_per_word": 100, "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3,
   "a": 4, "##a": 5, "b": 6}}})";

Json ParseOrNull(std::string_view text) {
  JsonLimits limits;
  limits.max_bytes = 1 << 16;
  auto json = ParseJson(text, "fuzz", limits);
  return json.ok() ? *std::move(json) : Json(nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Json good = ParseOrNull(kGood);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view first = input.substr(0, input.find('\0'));
  const std::string_view second = input.substr(std::min(first.size() + 1, input.size()));

  Json json = good;
  if (first.starts_with('+')) {
    json.merge_patch(ParseOrNull(first.substr(1)));
  } else {
    json = ParseOrNull(first);
  }
  auto spec = ParseTokenizerJson(json, "fuzz");
  TokenizerConfigFiles files;
  files.tokenizer_config = ParseOrNull(second);
  files.special_tokens_map = files.tokenizer_config;
  files.added_tokens = files.tokenizer_config;
  const auto config = ParseTokenizerConfig(files);
  if (!spec.ok() || !config.ok()) return 0;
  ApplyTokenizerConfig(*config, *spec);
  // Parsing is quick and making a tokenizer is not, least of all with an id of four million.
  if (size % 8 != 0 || spec->vocabulary.size() > 100'000) return 0;
  const auto tokenizer = Tokenizer::Create(*std::move(spec));
  if (!tokenizer.ok()) return 0;
  for (const char* text : {"a aab [SEP]\t[MASK] \xFF 你é", "x", ""}) {
    const Encoding encoding = tokenizer->EncodePair(text, text, 20);
    if (encoding.ids.size() < 3 || encoding.ids.size() > 20) std::abort();
    for (const int32_t id : encoding.ids) {
      if (id < 0 || static_cast<size_t>(id) >= tokenizer->vocab_size()) std::abort();
    }
  }
  return 0;
}
