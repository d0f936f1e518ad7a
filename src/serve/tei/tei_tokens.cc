#include "serve/tei/tei_tokens.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "text/detokenizer.h"

namespace bertie::serve {
namespace {

using formats::Json;

// Where each character begins, and the end.
std::vector<size_t> CharacterStarts(std::string_view text) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) starts.push_back(i);
  }
  starts.push_back(text.size());
  return starts;
}

class TokenList {
 public:
  explicit TokenList(const text::Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void AddSpecial(std::span<const int32_t> ids) {
    for (const int32_t id : ids) Add(id, tokenizer_.token(id), true, std::nullopt);
  }

  void AddText(std::string_view text, std::span<const int32_t> ids) {
    const auto spans = text::FindTokenSpans(tokenizer_, text, ids);
    const auto starts = CharacterStarts(text);
    for (size_t i = 0; i < ids.size(); ++i) {
      std::string_view part = tokenizer_.token(ids[i]);
      if (spans[i]) {
        const size_t begin = starts[spans[i]->begin];
        part = text.substr(begin, starts[spans[i]->end] - begin);
      }
      Add(ids[i], part, false, spans[i]);
    }
  }

  std::string Finish() { return "[" + json_ + "]"; }

 private:
  void Add(int32_t id, std::string_view text, bool special,
           const std::optional<text::TokenSpan>& span) {
    json_ += json_.empty() ? "{\"id\":" : ",{\"id\":";
    json_ += std::to_string(id) + ",\"text\":" + formats::DumpJson(Json(text)) +
             ",\"special\":" + (special ? "true" : "false") +
             ",\"start\":" + (span ? std::to_string(span->begin) : "null") +
             ",\"stop\":" + (span ? std::to_string(span->end) : "null") + "}";
  }

  const text::Tokenizer& tokenizer_;
  std::string json_;
};

std::string FormatOne(std::string_view text, bool add_special, const text::Tokenizer& tokenizer) {
  const text::Encoding encoding = tokenizer.Encode(text);
  const std::span<const int32_t> ids(encoding.ids);
  // [CLS] text [SEP], and [PAD] behind it where the model wants that.
  const auto last = std::find(ids.rbegin(), ids.rend(), tokenizer.sep_id());
  const auto end = static_cast<size_t>(ids.rend() - last) - 1;
  TokenList tokens(tokenizer);
  if (add_special) tokens.AddSpecial(ids.first(1));
  tokens.AddText(text, ids.subspan(1, end - 1));
  if (add_special) tokens.AddSpecial(ids.subspan(end));
  return tokens.Finish();
}

}  // namespace

std::string FormatTeiTokens(const TeiTokenize& request, const text::Tokenizer& tokenizer) {
  std::string out = "[";
  for (const std::string& text : request.texts) {
    if (out.size() > 1) out.push_back(',');
    out += FormatOne(text, request.add_special_tokens, tokenizer);
  }
  return out + "]";
}

std::string FormatTeiTexts(const TeiDecode& request, const text::Tokenizer& tokenizer) {
  Json texts = Json::array();
  for (const auto& ids : request.ids) {
    texts.push_back(text::DecodeTokens(tokenizer, ids, request.skip_special_tokens));
  }
  return formats::DumpJson(texts);
}

}  // namespace bertie::serve
