#include "serve/invocation.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "base/ascii.h"
#include "base/quote.h"
#include "formats/csv.h"
#include "formats/json.h"
#include "serve/bad_input.h"

namespace bertie::serve {
namespace {

using formats::Json;
using formats::JsonTypeName;
using http::Refusal;
using MaybeRefusal = std::optional<Refusal>;

// Far more than the largest batch of pairs has; bounds the memory that small values could ask for.
constexpr int64_t kMaxValues = 200'000;
constexpr const char* kForms = "expected a string, a list of strings, or an object with \"inputs\"";

Refusal TooMany(const std::string& where, size_t found, size_t limit) {
  return {
      413, "TooManyTexts",
      where + " holds " + std::to_string(found) + " texts; the limit is " + std::to_string(limit)};
}

MaybeRefusal CheckKeys(const Json& object, const std::string& where,
                       std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string expected;
    for (std::string_view name : known) {
      if (!expected.empty()) expected += ", ";
      expected += name;
    }
    return InvalidInput(where + " has an unknown field " + Quote(key) + "; known are " + expected);
  }
  return std::nullopt;
}

MaybeRefusal TakeString(Json& value, const std::string& where, const std::string& expected,
                        std::string& out) {
  if (!value.is_string()) return WrongType(where, value, expected);
  out = std::move(value.get_ref<std::string&>());
  return std::nullopt;
}

// {"text": "...", "text_pair": "..."}.
MaybeRefusal TakePair(Json& object, const std::string& where, TextInput& out) {
  if (auto refusal = CheckKeys(object, where, {"text", "text_pair"})) return refusal;
  if (!object.contains("text")) return InvalidInput(where + " has no \"text\"");
  if (auto refusal = TakeString(object["text"], where + ".text", "a string", out.text)) {
    return refusal;
  }
  if (!object.contains("text_pair") || object["text_pair"].is_null()) return std::nullopt;
  return TakeString(object["text_pair"], where + ".text_pair", "a string", out.pair.emplace());
}

MaybeRefusal TakeList(Json& list, const std::string& where, bool objects,
                      const InvocationLimits& limits, std::vector<TextInput>& out) {
  if (list.empty()) {
    return Refusal{400, "EmptyBatch", where + " is an empty list; expected at least one text"};
  }
  if (list.size() > limits.max_texts) return TooMany(where, list.size(), limits.max_texts);
  const std::string prefix = where == "the body" ? "" : where;
  out.resize(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    std::string item = prefix + "[" + std::to_string(i) + "]";
    MaybeRefusal refusal =
        objects && list[i].is_object()
            ? TakePair(list[i], item, out[i])
            : TakeString(list[i], item,
                         objects ? "a string or {\"text\", \"text_pair\"}" : "a string",
                         out[i].text);
    if (refusal) return refusal;
  }
  return std::nullopt;
}

MaybeRefusal TakeInputs(Json& inputs, const InvocationLimits& limits, Invocation& out) {
  if (inputs.is_array()) {
    out.container = Invocation::Container::kList;
    return TakeList(inputs, "inputs", true, limits, out.texts);
  }
  out.texts.resize(1);
  if (inputs.is_object()) {
    out.container = Invocation::Container::kObject;
    return TakePair(inputs, "inputs", out.texts[0]);
  }
  out.container = Invocation::Container::kText;
  return TakeString(inputs, "inputs", "a string, {\"text\", \"text_pair\"}, or a list of them",
                    out.texts[0].text);
}

MaybeRefusal TakeBool(const Json& value, const std::string& where, std::optional<bool>& out) {
  if (value.is_null()) return std::nullopt;
  if (!value.is_boolean()) return WrongType(where, value, "true or false");
  out = value.get<bool>();
  return std::nullopt;
}

// transformers also takes the names of truncation strategies; each of them truncates.
MaybeRefusal TakeTruncation(const Json& value, std::optional<bool>& out) {
  if (!value.is_string()) return TakeBool(value, "parameters.truncation", out);
  const auto& name = value.get_ref<const std::string&>();
  if (name == "do_not_truncate") {
    out = false;
  } else if (name == "longest_first") {
    out = true;
  } else {
    return InvalidInput("parameters.truncation is " + Quote(name) +
                        "; expected true, false, longest_first or do_not_truncate");
  }
  return std::nullopt;
}

MaybeRefusal TakeFunction(const Json& value, std::optional<FunctionToApply>& out) {
  if (value.is_null()) return std::nullopt;
  if (!value.is_string()) return WrongType("parameters.function_to_apply", value, "a string");
  const std::string name = AsciiLower(value.get<std::string>());
  if (name == "none") {
    out = FunctionToApply::kNone;
  } else if (name == "sigmoid") {
    out = FunctionToApply::kSigmoid;
  } else if (name == "softmax") {
    out = FunctionToApply::kSoftmax;
  } else {
    return InvalidInput("parameters.function_to_apply is " + Quote(name) +
                        "; expected none, sigmoid or softmax");
  }
  return std::nullopt;
}

MaybeRefusal TakeInteger(const Json& value, const std::string& where, int64_t least, int64_t most,
                         int64_t& out) {
  const std::string expected =
      "an integer from " + std::to_string(least) + " to " + std::to_string(most);
  if (!value.is_number_integer()) return WrongType(where, value, expected);
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(most)) {
    return InvalidInput(where + " is " + std::to_string(value.get<uint64_t>()) + "; expected " +
                        expected);
  }
  out = value.get<int64_t>();
  if (out >= least && out <= most) return std::nullopt;
  return InvalidInput(where + " is " + std::to_string(out) + "; expected " + expected);
}

MaybeRefusal TakeObject(Json& body, const InvocationLimits& limits, Invocation& out) {
  if (body.contains("instances")) {
    if (auto refusal = CheckKeys(body, "the body", {"instances"})) return refusal;
    out.form = AnswerForm::kPredictions;
    Json& instances = body["instances"];
    if (!instances.is_array()) return WrongType("instances", instances, "a list of strings");
    return TakeList(instances, "instances", true, limits, out.texts);
  }
  if (!body.contains("inputs"))
    return InvalidInput(std::string("the body has no \"inputs\"; ") + kForms);
  // "options" steers the queue and cache of Hugging Face's hosted API.
  if (auto refusal = CheckKeys(body, "the body", {"inputs", "parameters", "options"})) {
    return refusal;
  }
  out.form = AnswerForm::kScores;
  if (body.contains("parameters")) {
    if (auto refusal = ReadParameters(body["parameters"], limits, out.parameters)) return refusal;
  }
  return TakeInputs(body["inputs"], limits, out);
}

MaybeRefusal ParseJsonBody(std::string_view text, const InvocationLimits& limits, Invocation& out) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return InvalidInput(std::string("the body is empty; ") + kForms);
  }
  auto parsed = formats::ParseJson(text, "body", {.max_values = kMaxValues});
  if (!parsed.ok()) return Refusal{400, "InvalidJson", parsed.error().message};
  Json body = *std::move(parsed);
  if (body.is_string()) {
    out.container = Invocation::Container::kText;
    out.texts.resize(1);
    return TakeString(body, "the body", "a string", out.texts[0].text);
  }
  if (body.is_array()) return TakeList(body, "the body", false, limits, out.texts);
  if (body.is_object()) return TakeObject(body, limits, out);
  return InvalidInput(std::string("the body is ") + JsonTypeName(body) + "; " + kForms);
}

// Rows of one field each, or the column "inputs" of rows under a header.
MaybeRefusal ParseCsvBody(std::string_view text, const InvocationLimits& limits, Invocation& out) {
  formats::CsvReader reader(text, "body", {.max_field_bytes = std::max<size_t>(1, text.size())});
  formats::CsvRecord record;
  size_t width = 1;
  size_t column = 0;
  for (bool first = true;; first = false) {
    auto more = reader.Next(record);
    if (!more.ok()) return Refusal{400, "InvalidCsv", more.error().message};
    if (!*more) break;
    if (first) {
      auto header = std::find(record.fields.begin(), record.fields.end(), "inputs");
      if (header != record.fields.end()) {
        out.form = AnswerForm::kScores;
        width = record.fields.size();
        column = static_cast<size_t>(header - record.fields.begin());
        continue;
      }
    }
    if (record.fields.size() != width) {
      return Refusal{400, "InvalidCsv",
                     "body:" + std::to_string(record.line) + ": the row has " +
                         std::to_string(record.fields.size()) + " fields; expected " +
                         std::to_string(width) +
                         (width == 1 ? " (quote a text that holds a comma, or name its column "
                                       "\"inputs\" in a header)"
                                     : "")};
    }
    if (out.texts.size() == limits.max_texts) {
      return TooMany("the body", limits.max_texts + 1, limits.max_texts);
    }
    out.texts.push_back({std::move(record.fields[column]), std::nullopt});
  }
  if (out.texts.empty()) {
    return Refusal{400, "EmptyBatch", "the body has no row; expected one text a row"};
  }
  return std::nullopt;
}

}  // namespace

MaybeRefusal ReadParameters(const Json& object, const InvocationLimits& limits, Parameters& out) {
  if (object.is_null()) return std::nullopt;
  if (!object.is_object()) return WrongType("parameters", object, "an object");
  // Padding changes nothing here, since nothing is padded; batch_size neither.
  if (auto refusal = CheckKeys(object, "parameters",
                               {"top_k", "return_all_scores", "function_to_apply", "truncation",
                                "max_length", "padding", "batch_size"})) {
    return refusal;
  }
  if (auto found = object.find("top_k"); found != object.end()) {
    out.has_top_k = true;
    if (!found->is_null()) {
      int64_t top_k = 0;
      if (auto refusal = TakeInteger(*found, "parameters.top_k", 1, 1'000'000, top_k)) {
        return refusal;
      }
      out.top_k = top_k;
    }
  }
  if (auto found = object.find("return_all_scores"); found != object.end()) {
    if (auto refusal = TakeBool(*found, "parameters.return_all_scores", out.return_all_scores)) {
      return refusal;
    }
  }
  if (auto found = object.find("function_to_apply"); found != object.end()) {
    if (auto refusal = TakeFunction(*found, out.function_to_apply)) return refusal;
  }
  if (auto found = object.find("truncation"); found != object.end()) {
    if (auto refusal = TakeTruncation(*found, out.truncation)) return refusal;
  }
  if (auto found = object.find("max_length"); found != object.end() && !found->is_null()) {
    // Room for [CLS], [SEP], a second [SEP] and one token.
    int64_t length = 0;
    if (auto refusal = TakeInteger(*found, "parameters.max_length", 4,
                                   static_cast<int64_t>(limits.max_length), length)) {
      return refusal;
    }
    out.max_length = static_cast<size_t>(length);
  }
  return std::nullopt;
}

std::variant<Invocation, http::Refusal> ParseInvocation(std::string_view body, MediaType type,
                                                        const InvocationLimits& limits) {
  Invocation invocation;
  MaybeRefusal refusal = type == MediaType::kJson ? ParseJsonBody(body, limits, invocation)
                                                  : ParseCsvBody(body, limits, invocation);
  if (refusal) return *std::move(refusal);
  return invocation;
}

}  // namespace bertie::serve
