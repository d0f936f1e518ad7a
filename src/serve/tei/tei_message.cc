#include "serve/tei/tei_message.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/quote.h"
#include "formats/json.h"

namespace bertie::serve {
namespace {

using formats::Json;
using http::Refusal;
using MaybeRefusal = std::optional<Refusal>;

MaybeRefusal TakeFlag(const Json& body, const char* key, bool& out) {
  const auto found = body.find(key);
  if (found == body.end()) return std::nullopt;
  if (!found->is_boolean()) return WrongTeiForm(key, *found, "true or false");
  out = found->get<bool>();
  return std::nullopt;
}

MaybeRefusal TakeOneText(Json& value, const std::string& where, std::string& out) {
  if (!value.is_string()) return WrongTeiForm(where, value, "a string");
  out = std::move(value.get_ref<std::string&>());
  return std::nullopt;
}

// ["a"] or ["a","b"].
MaybeRefusal TakeSequence(Json& list, const std::string& where, TextInput& out) {
  if (!list.is_array()) return WrongTeiForm(where, list, "a list of one or two strings");
  if (list.empty() || list.size() > 2) {
    return WrongTeiForm(where + ": a list of " + std::to_string(list.size()) +
                        "; expected one string, or a pair of strings");
  }
  if (auto refusal = TakeOneText(list[0], where + "[0]", out.text)) return refusal;
  if (list.size() == 1) return std::nullopt;
  return TakeOneText(list[1], where + "[1]", out.pair.emplace());
}

MaybeRefusal TakePredictInputs(Json& inputs, size_t max_texts, TeiPredict& out) {
  if (inputs.is_string()) return TakeOneText(inputs, "inputs", out.texts.emplace_back().text);
  if (!inputs.is_array() || inputs.empty()) {
    return WrongTeiForm(
        "inputs", inputs,
        "a string, a pair of strings [string, string] or a batch of mixed strings and "
        "pairs [[string], [string, string], ...]");
  }
  if (!inputs[0].is_array()) return TakeSequence(inputs, "inputs", out.texts.emplace_back());
  out.batch = true;
  if (auto refusal = CheckTeiBatchSize(inputs.size(), max_texts)) return refusal;
  out.texts.resize(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string where = "inputs[" + std::to_string(i) + "]";
    if (auto refusal = TakeSequence(inputs[i], where, out.texts[i])) return refusal;
  }
  return std::nullopt;
}

// TEI gives no score to nothing.
MaybeRefusal CheckNotEmpty(const std::vector<TextInput>& texts) {
  const auto empty = [](const TextInput& input) { return input.text.empty() && !input.pair; };
  if (std::none_of(texts.begin(), texts.end(), empty)) return std::nullopt;
  return Refusal{413, "Validation", "`inputs` cannot be empty"};
}

MaybeRefusal TakeTextList(Json& list, const std::string& where, size_t max_texts,
                          std::vector<std::string>& out) {
  if (!list.is_array()) return WrongTeiForm(where, list, "a list of strings");
  if (auto refusal = CheckTeiBatchSize(list.size(), max_texts)) return refusal;
  out.resize(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    if (auto refusal = TakeOneText(list[i], where + "[" + std::to_string(i) + "]", out[i])) {
      return refusal;
    }
  }
  return std::nullopt;
}

MaybeRefusal TakeIds(const Json& list, const std::string& where, std::vector<int32_t>& out) {
  if (!list.is_array()) return WrongTeiForm(where, list, "a list of token ids");
  out.reserve(list.size());
  for (const Json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > std::numeric_limits<uint32_t>::max()) {
      return WrongTeiForm("an element of " + where, id, "a token id");
    }
    // No vocabulary reaches so far: such ids have no text.
    const uint64_t value = id.get<uint64_t>();
    const bool fits = value <= static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
    out.push_back(fits ? static_cast<int32_t>(value) : -1);
  }
  return std::nullopt;
}

bool AllFinite(std::span<const float> logits) {
  return std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); });
}

Error NotFinite() { return {ErrorCode::kInternal, "score is NaN"}; }

std::vector<size_t> Descending(std::span<const float> scores) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  return order;
}

}  // namespace

MaybeRefusal ReadTeiOptions(const Json& body, TeiOptions& out) {
  if (const auto found = body.find("truncate"); found != body.end() && !found->is_null()) {
    if (!found->is_boolean()) return WrongTeiForm("truncate", *found, "true or false");
    out.truncate = found->get<bool>();
  }
  if (const auto found = body.find("truncation_direction"); found != body.end()) {
    if (!found->is_string()) return WrongTeiForm("truncation_direction", *found, "Left or Right");
    const auto& side = found->get_ref<const std::string&>();
    if (side != "Left" && side != "Right") {
      return WrongTeiForm("truncation_direction: " + Quote(side) + "; expected Left or Right");
    }
    out.side = side == "Left" ? TruncationSide::kLeft : TruncationSide::kRight;
  }
  return TakeFlag(body, "raw_scores", out.raw_scores);
}

MaybeRefusal ReadTeiPredict(Json& body, size_t max_texts, TeiPredict& out) {
  Json* inputs = nullptr;
  auto refusal = FindTeiField(body, "inputs", inputs);
  if (!refusal) refusal = TakePredictInputs(*inputs, max_texts, out);
  if (!refusal) refusal = ReadTeiOptions(body, out.options);
  if (!refusal) refusal = CheckNotEmpty(out.texts);
  return refusal;
}

TeiParsed<TeiPredict> ParseTeiPredict(std::string_view text, size_t max_texts) {
  return ParseTeiBody<TeiPredict>(text, [max_texts](Json& body, TeiPredict& out) {
    return ReadTeiPredict(body, max_texts, out);
  });
}

MaybeRefusal ReadTeiRerank(Json& body, size_t max_texts, TeiRerank& out) {
  Json* query = nullptr;
  Json* texts = nullptr;
  auto refusal = FindTeiField(body, "query", query);
  if (!refusal) refusal = TakeOneText(*query, "query", out.query);
  if (!refusal) refusal = FindTeiField(body, "texts", texts);
  if (!refusal) refusal = TakeTextList(*texts, "texts", max_texts, out.texts);
  if (!refusal) refusal = ReadTeiOptions(body, out.options);
  if (!refusal) refusal = TakeFlag(body, "return_text", out.return_text);
  if (!refusal && out.texts.empty()) refusal = EmptyTeiList("texts");
  if (!refusal) refusal = CheckTeiQueryBytes(out.query.size() * out.texts.size());
  return refusal;
}

TeiParsed<TeiRerank> ParseTeiRerank(std::string_view text, size_t max_texts) {
  return ParseTeiBody<TeiRerank>(text, [max_texts](Json& body, TeiRerank& out) {
    return ReadTeiRerank(body, max_texts, out);
  });
}

TeiParsed<TeiTokenize> ParseTeiTokenize(std::string_view text, size_t max_texts) {
  return ParseTeiBody<TeiTokenize>(text, [max_texts](Json& body, TeiTokenize& out) -> MaybeRefusal {
    Json* inputs = nullptr;
    auto refusal = FindTeiField(body, "inputs", inputs);
    if (!refusal && inputs->is_string()) {
      refusal = TakeOneText(*inputs, "inputs", out.texts.emplace_back());
    } else if (!refusal) {
      refusal = TakeTextList(*inputs, "inputs", max_texts, out.texts);
    }
    if (!refusal) refusal = TakeFlag(body, "add_special_tokens", out.add_special_tokens);
    if (!refusal && out.texts.empty()) refusal = EmptyTeiList("inputs");
    return refusal;
  });
}

TeiParsed<TeiDecode> ParseTeiDecode(std::string_view text, size_t max_texts) {
  return ParseTeiBody<TeiDecode>(text, [max_texts](Json& body, TeiDecode& out) -> MaybeRefusal {
    Json* ids = nullptr;
    auto refusal = FindTeiField(body, "ids", ids);
    if (!refusal && ids->is_array() && !ids->empty() && (*ids)[0].is_array()) {
      refusal = CheckTeiBatchSize(ids->size(), max_texts);
      out.ids.resize(ids->size());
      for (size_t i = 0; !refusal && i < ids->size(); ++i) {
        refusal = TakeIds((*ids)[i], "ids[" + std::to_string(i) + "]", out.ids[i]);
      }
    } else if (!refusal) {
      refusal = TakeIds(*ids, "ids", out.ids.emplace_back());
    }
    if (!refusal) refusal = TakeFlag(body, "skip_special_tokens", out.skip_special_tokens);
    return refusal;
  });
}

Result<std::string> FormatTeiPredictions(const TeiPredict& request, std::span<const float> logits,
                                         const LabelScheme& scheme) {
  if (!AllFinite(logits)) return NotFinite();
  const size_t labels = scheme.labels.size();
  std::vector<std::string> quoted;
  for (const std::string& label : scheme.labels) quoted.push_back(formats::DumpJson(Json(label)));
  std::string out = request.batch ? "[" : "";
  for (size_t i = 0; i < logits.size(); i += labels) {
    const auto scores =
        Scores(logits.subspan(i, labels),
               request.options.raw_scores ? FunctionToApply::kNone : scheme.function);
    out += i > 0 ? ",[" : "[";
    bool first = true;
    for (const size_t label : Descending(scores)) {
      out += std::exchange(first, false) ? "{\"score\":" : ",{\"score\":";
      AppendFloat(scores[label], out);
      out += ",\"label\":" + quoted[label] + "}";
    }
    out.push_back(']');
  }
  if (request.batch) out.push_back(']');
  return out;
}

Result<std::string> FormatTeiRanks(const TeiRerank& request, std::span<const float> logits,
                                   const LabelScheme& scheme) {
  if (!AllFinite(logits)) return NotFinite();
  std::vector<float> scores;
  for (size_t i = 0; i < logits.size(); ++i) {
    scores.push_back(Scores(logits.subspan(i, 1), request.options.raw_scores
                                                      ? FunctionToApply::kNone
                                                      : scheme.function)[0]);
  }
  std::string out = "[";
  for (const size_t index : Descending(scores)) {
    if (out.size() > 1) out.push_back(',');
    out += "{\"index\":" + std::to_string(index);
    if (request.return_text) out += ",\"text\":" + formats::DumpJson(Json(request.texts[index]));
    out += ",\"score\":";
    AppendFloat(scores[index], out);
    out.push_back('}');
  }
  return out + "]";
}

size_t CountTeiCharacters(const TextInput& input) {
  const auto count = [](std::string_view text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
  };
  return count(input.text) + (input.pair ? count(*input.pair) : 0);
}

}  // namespace bertie::serve
