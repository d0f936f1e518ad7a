#include "serve/protocols/playground.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/quote.h"
#include "formats/json.h"
#include "pages/pages.h"
#include "serve/call.h"
#include "serve/refusal.h"
#include "serve/text_input.h"

namespace bertie::serve {
namespace {

using formats::Json;
using pages::Page;

constexpr size_t kMaxShownTokens = 2048;

void ShowPage(Call& call) { call.Respond(pages::PageAnswer(Page::kPlayground, call.head())); }

void RespondJson(Call& call, const Json& json) {
  call.Respond({.content_type = "application/json", .body = formats::DumpJson(json)});
}

struct TokensRequest {
  TextInput input;
  std::string model;
};

std::variant<TokensRequest, http::Refusal> ParseTokensRequest(const std::string& body) {
  const auto json = formats::ParseJson(body, "body");
  if (!json.ok()) return http::Refusal{400, "InvalidJson", json.error().message};
  const auto refuse = [](const std::string& what) {
    return http::Refusal{400, "InvalidInput", what};
  };
  if (!json->is_object()) {
    return refuse(std::string("the body is ") + formats::JsonTypeName(*json) +
                  "; expected an object with \"text\"");
  }
  TokensRequest request;
  bool has_text = false;
  for (const auto& [name, value] : json->items()) {
    if (!value.is_string()) {
      return refuse(Quote(name) + " is " + formats::JsonTypeName(value) + "; expected a string");
    }
    auto text = value.get<std::string>();
    if (name == "text") {
      request.input.text = std::move(text);
      has_text = true;
    } else if (name == "text_pair") {
      request.input.pair = std::move(text);
    } else if (name == "model") {
      request.model = std::move(text);
    } else {
      return refuse(Quote(name) + " is not known; expected text, text_pair, model");
    }
  }
  if (!has_text) return refuse("\"text\" is missing");
  return request;
}

// Tokens of the first sentence and of the second, each with the special ones around them.
std::pair<size_t, size_t> Sizes(const text::Encoding& encoding) {
  const auto second = std::find(encoding.type_ids.begin(), encoding.type_ids.end(), 1);
  const auto first = static_cast<size_t>(second - encoding.type_ids.begin());
  return {first, encoding.ids.size() - first};
}

// Both are cut at the end, before their [SEP].
Json ShowTokens(const text::Tokenizer& tokenizer, const text::Encoding& whole,
                const text::Encoding& cut) {
  const auto [first, second] = Sizes(whole);
  const auto [first_kept, second_kept] = Sizes(cut);
  Json tokens = Json::array();
  for (size_t i = 0; i < std::min(whole.ids.size(), kMaxShownTokens); ++i) {
    const bool in_second = i >= first;
    const bool special = i == 0 || i + 1 == first || i + 1 == first + second;
    const bool kept = in_second ? i - first + 1 < second_kept : i + 1 < first_kept;
    tokens.push_back({{"token", std::string(tokenizer.token(whole.ids[i]))},
                      {"id", whole.ids[i]},
                      {"special", special},
                      {"second", in_second},
                      {"kept", special || kept}});
  }
  return tokens;
}

// Without the padding that some models' texts end with.
text::Encoding EncodeInput(const text::Tokenizer& tokenizer, const TextInput& input,
                           size_t max_length) {
  text::Encoding encoding = tokenizer.Encode(input.text, input.pair, max_length);
  while (encoding.ids.size() > 1 && encoding.ids.back() == tokenizer.pad_id()) {
    encoding.ids.pop_back();
    encoding.type_ids.pop_back();
  }
  return encoding;
}

}  // namespace

PlaygroundProtocol::PlaygroundProtocol(ServeContext& context) : context_(context) {
  context_.home_page = [](const std::shared_ptr<Call>& call) { ShowPage(*call); };
}

std::vector<Route> PlaygroundProtocol::Routes() {
  using Handle = void (PlaygroundProtocol::*)(Call&) const;
  const auto by = [this](Handle handle) {
    return [this, handle](const std::shared_ptr<Call>& call) { (this->*handle)(*call); };
  };
  return {{.pattern = "/ui/{folder}/{file}",
           .method = "GET",
           .handle = by(&PlaygroundProtocol::File),
           .access = Access::kOpen,
           .in_document = false},
          {.pattern = "/ui/models",
           .method = "GET",
           .handle = by(&PlaygroundProtocol::Models),
           .in_document = false},
          {.pattern = "/ui/tokens",
           .method = "POST",
           .handle = by(&PlaygroundProtocol::Tokens),
           .in_document = false}};
}

http::Response PlaygroundProtocol::Refuse(const http::Refusal& refusal,
                                          std::string_view request_id) const {
  return OwnRefusal(refusal, request_id);
}

bool PlaygroundProtocol::Owns(std::string_view path) const {
  return path.starts_with(pages::kFilesPath);
}

void PlaygroundProtocol::File(Call& call) const {
  auto file = pages::FileAnswer(Page::kPlayground, call.head());
  if (!file) return call.Refuse({404, "NotFound", "the page has no such file"});
  call.Respond(*std::move(file));
}

void PlaygroundProtocol::Models(Call& call) const {
  std::map<std::string, ModelPointer> by_name;  // the last is the highest version
  for (const ModelPointer& model : context_.models.List()) by_name[model->id.name] = model;
  const auto standard = context_.models.Find();
  Json models = Json::array();
  for (const auto& [name, model] : by_name) {
    models.push_back({{"name", name},
                      {"version", model->id.version},
                      {"labels", model->scheme.labels},
                      {"max_length", model->max_length},
                      {"default", standard.ok() && (*standard)->id.name == name}});
  }
  RespondJson(call, {{"models", std::move(models)}});
}

void PlaygroundProtocol::Tokens(Call& call) const {
  auto parsed = ParseTokensRequest(call.body());
  if (const auto* refusal = std::get_if<http::Refusal>(&parsed)) return call.Refuse(*refusal);
  const auto& request = std::get<TokensRequest>(parsed);
  const auto found = context_.FindModel(request.model);
  if (const auto* refusal = std::get_if<http::Refusal>(&found)) return call.Refuse(*refusal);
  const LoadedModel& model = *std::get<ModelPointer>(found);
  const text::Encoding whole = EncodeInput(model.tokenizer, request.input, 0);
  const text::Encoding cut = EncodeInput(model.tokenizer, request.input, model.max_length);
  RespondJson(call, {{"tokens", ShowTokens(model.tokenizer, whole, cut)},
                     {"count", whole.ids.size()},
                     {"kept", cut.ids.size()},
                     {"max_length", model.max_length}});
}

}  // namespace bertie::serve
