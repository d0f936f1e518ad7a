#include "data/json_line.h"

#include <cmath>

namespace bertie::data {
namespace {

constexpr size_t kMaxLine = size_t{4} << 20;

}  // namespace

Result<formats::Json> ParseJsonLine(std::string_view line, const std::string& where,
                                    int64_t number) {
  const std::string place = where + ":" + std::to_string(number);
  formats::JsonLimits limits;
  limits.max_bytes = kMaxLine;
  Result<formats::Json> value = formats::ParseJson(line, place, limits);
  if (!value.ok()) {
    // The parser counts lines within the text it was given, which here is line 1.
    std::string message = value.error().message;
    const std::string inner = place + ":1:";
    if (message.starts_with(inner)) message = place + ":" + message.substr(inner.size());
    return Error{value.error().code, message};
  }
  if (!value->is_object()) {
    return Error{ErrorCode::kInvalidData, place + ": found " + formats::JsonTypeName(*value) +
                                              "; expected an object, such as {\"text\": \"...\", "
                                              "\"label\": \"...\"}"};
  }
  return value;
}

Result<std::optional<std::string>> JsonText(const formats::Json& value) {
  if (value.is_null()) return std::optional<std::string>();
  if (value.is_string()) return std::optional(value.get<std::string>());
  if (value.is_boolean()) return std::optional<std::string>(value.get<bool>() ? "true" : "false");
  if (value.is_number_unsigned()) return std::optional(std::to_string(value.get<uint64_t>()));
  if (value.is_number_integer()) return std::optional(std::to_string(value.get<int64_t>()));
  if (value.is_number_float()) {
    // pandas writes whole numbers as 1.0 where a column had a missing value.
    const double number = value.get<double>();
    if (number == std::floor(number) && std::abs(number) < 1e15) {
      return std::optional(std::to_string(static_cast<int64_t>(number)));
    }
    return std::optional(formats::DumpJson(value));
  }
  return Error{ErrorCode::kInvalidData,
               std::string(formats::JsonTypeName(value)) + "; expected a string or a number"};
}

Result<std::optional<std::string>> JsonField(const formats::Json& object, const std::string& key) {
  const auto member = object.find(key);
  if (member == object.end()) return std::optional<std::string>();
  auto text = JsonText(*member);
  if (!text.ok()) {
    return Error{text.error().code, "'" + key + "' is " + text.error().message};
  }
  return text;
}

bool FirstIsJsonList(std::string_view beginning, const std::string& key) {
  while (!beginning.empty()) {
    const size_t end = std::min(beginning.find('\n'), beginning.size());
    const Result<formats::Json> object = ParseJsonLine(beginning.substr(0, end), "", 0);
    beginning.remove_prefix(std::min(beginning.size(), end + 1));
    if (!object.ok()) continue;
    const auto member = object->find(key);
    if (member != object->end() && !member->is_null()) return member->is_array();
  }
  return false;
}

std::vector<std::vector<std::string>> SampleJsonLines(std::string_view beginning, size_t max_rows) {
  std::vector<std::vector<std::string>> sample;
  while (!beginning.empty() && sample.size() <= max_rows) {
    const size_t end = std::min(beginning.find('\n'), beginning.size());
    Result<formats::Json> object = ParseJsonLine(beginning.substr(0, end), "", 0);
    beginning.remove_prefix(std::min(beginning.size(), end + 1));
    if (!object.ok()) continue;
    if (sample.empty()) {
      sample.emplace_back();
      for (const auto& item : object->items()) sample.front().push_back(item.key());
    }
    std::vector<std::string> fields;
    for (const std::string& key : sample.front()) {
      Result<std::optional<std::string>> field = JsonField(*object, key);
      fields.push_back(field.ok() ? field->value_or("") : "");
    }
    sample.push_back(std::move(fields));
  }
  return sample;
}

}  // namespace bertie::data
