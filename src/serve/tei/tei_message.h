// Bodies of text-embeddings-inference (TEI), as its clients send and read them
// (github.com/huggingface/text-embeddings-inference, router/src/http).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "serve/answer.h"
#include "serve/inference.h"
#include "serve/tei/tei_body.h"
#include "serve/text_input.h"

namespace bertie::serve {

// Readers of an object that was parsed already take its strings out; what it does not say of the
// options stays as it is in `out`.

struct TeiOptions {
  std::optional<bool> truncate;  // absent: as the server is set
  TruncationSide side = TruncationSide::kRight;
  bool raw_scores = false;
};
std::optional<http::Refusal> ReadTeiOptions(const formats::Json& body, TeiOptions& out);

// {"inputs": ...}: "a" is one text, ["a","b"] one pair, [["a"],["b","c"]] a batch of a text and a
// pair. Unlike {"inputs": ...} on /invocations, a flat list is never a batch.
struct TeiPredict {
  std::vector<TextInput> texts;  // at least one
  bool batch = false;
  TeiOptions options;
};
std::optional<http::Refusal> ReadTeiPredict(formats::Json& body, size_t max_texts, TeiPredict& out);
TeiParsed<TeiPredict> ParseTeiPredict(std::string_view body, size_t max_texts);

struct TeiRerank {
  std::string query;
  std::vector<std::string> texts;
  bool return_text = false;
  TeiOptions options;
};
std::optional<http::Refusal> ReadTeiRerank(formats::Json& body, size_t max_texts, TeiRerank& out);
TeiParsed<TeiRerank> ParseTeiRerank(std::string_view body, size_t max_texts);

struct TeiTokenize {
  std::vector<std::string> texts;
  bool add_special_tokens = true;
};
TeiParsed<TeiTokenize> ParseTeiTokenize(std::string_view body, size_t max_texts);

struct TeiDecode {
  std::vector<std::vector<int32_t>> ids;
  bool skip_special_tokens = true;
};
TeiParsed<TeiDecode> ParseTeiDecode(std::string_view body, size_t max_texts);

// logits: [texts, labels]. Every label of each text, best first; a list of such lists for a batch.
// kInternal where a logit is not finite.
Result<std::string> FormatTeiPredictions(const TeiPredict& request, std::span<const float> logits,
                                         const LabelScheme& scheme);

// logits: one for each text.
Result<std::string> FormatTeiRanks(const TeiRerank& request, std::span<const float> logits,
                                   const LabelScheme& scheme);

// Characters, not bytes; of both texts of a pair.
size_t CountTeiCharacters(const TextInput& input);

}  // namespace bertie::serve
