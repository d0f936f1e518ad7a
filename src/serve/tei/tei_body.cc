#include "serve/tei/tei_body.h"

#include <cstdint>

namespace bertie::serve {
namespace {

using formats::Json;
using http::Refusal;

constexpr int64_t kMaxTeiValues = 1'000'000;
constexpr const char* kPlainText = "PlainText";

}  // namespace

Refusal WrongTeiForm(std::string detail) { return {422, kPlainText, std::move(detail)}; }

Refusal WrongTeiForm(const std::string& where, const Json& found, const std::string& expected) {
  return WrongTeiForm(where + ": " + formats::JsonTypeName(found) + "; expected " + expected);
}

Refusal OfTeiBody(Refusal refusal) {
  if (std::string_view(refusal.type) != kPlainText) return refusal;
  refusal.message = "Failed to deserialize the JSON body into the target type: " + refusal.message;
  return refusal;
}

Refusal EmptyTeiList(const char* name) {
  return {400, "Empty", std::string("`") + name + "` cannot be empty"};
}

std::optional<Refusal> CheckTeiQueryBytes(size_t bytes) {
  constexpr size_t kMostBytes = size_t{4} << 20;
  if (bytes <= kMostBytes) return std::nullopt;
  return Refusal{413, "Validation",
                 "query: read with each of its texts, " + std::to_string(bytes) +
                     " bytes in all; at most " + std::to_string(kMostBytes)};
}

std::optional<Refusal> CheckTeiBatchSize(size_t size, size_t most) {
  if (size <= most) return std::nullopt;
  return Refusal{413, "Validation",
                 "batch size " + std::to_string(size) + " > maximum allowed batch size " +
                     std::to_string(most)};
}

std::optional<Refusal> FindTeiField(Json& body, const char* key, Json*& out) {
  const auto found = body.find(key);
  if (found == body.end()) return WrongTeiForm(std::string("missing field `") + key + "`");
  out = &*found;
  return std::nullopt;
}

TeiParsed<Json> ParseTeiObject(std::string_view text) {
  auto parsed = formats::ParseJson(text, "body", {.max_values = kMaxTeiValues});
  if (!parsed.ok()) {
    return Refusal{400, kPlainText,
                   "Failed to parse the request body as JSON: " + parsed.error().message};
  }
  if (!parsed->is_object()) return OfTeiBody(WrongTeiForm("the body", *parsed, "an object"));
  return *std::move(parsed);
}

}  // namespace bertie::serve
