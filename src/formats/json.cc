#include "formats/json.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/quote.h"

namespace bertie::formats {
namespace {

// Of the text, as the header promises: 60 here leaves room for the escapes' names around it.
constexpr size_t kEchoBytes = 60;

// "WHERE:LINE:COLUMN: what" for the byte at offset.
Error At(const std::string& where, std::string_view text, size_t offset, ErrorCode code,
         const std::string& what) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {code, where + ":" + std::to_string(line) + ":" +
                    std::to_string(before.size() - line_start + 1) + ": " + what};
}

// The library's message without its own position, and with the text that it repeats cut short.
std::string Reason(std::string message) {
  if (size_t bracket = message.find("] "); bracket != std::string::npos) {
    message.erase(0, bracket + 2);
  }
  if (message.starts_with("parse error at ")) {
    if (size_t colon = message.find(": "); colon != std::string::npos) message.erase(0, colon + 2);
  }
  for (const std::string_view marker : {"last read: '", "number overflow parsing '"}) {
    const size_t begin = message.find(marker);
    if (begin == std::string::npos) continue;
    const size_t text = begin + marker.size();
    size_t end = message.rfind("'; expected");
    if (end == std::string::npos || end < text) end = message.rfind('\'');
    if (end == std::string::npos || end < text) break;
    message = message.substr(0, text - 1) +
              Quote(std::string_view(message).substr(text, end - text), kEchoBytes) +
              message.substr(end + 1);
    break;
  }
  return message;
}

// Builds the value with a stack of its own, so that depth costs no machine stack, and counts.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, const std::string& where, const JsonLimits& limits)
      : text_(text), where_(where), limits_(limits) {}

  Json root;
  Error error;

  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(int64_t value) override { return Add(value); }
  bool number_unsigned(uint64_t value) override { return Add(value); }
  bool number_float(double value, const std::string&) override { return Add(value); }
  bool string(std::string& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return Refuse("binary value"); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& value) override {
    if (limits_.duplicate_keys == DuplicateKeys::kRefuse && open_.back()->contains(value)) {
      return Refuse("found the key " + Quote(value, kEchoBytes) + " a second time");
    }
    key_ = std::move(value);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    error = At(where_, text_, position == 0 ? 0 : position - 1, ErrorCode::kInvalidData,
               "not JSON: " + Reason(e.what()));
    return false;
  }

 private:
  bool Refuse(const std::string& what, ErrorCode code = ErrorCode::kInvalidData) {
    error = {code, where_ + ": " + what};
    return false;
  }

  bool Add(Json value) { return Place(std::move(value)) != nullptr; }

  bool Open(Json value) {
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      return Refuse("JSON deeper than " + std::to_string(limits_.max_depth) + " levels",
                    ErrorCode::kResourceExhausted);
    }
    Json* placed = Place(std::move(value));
    if (placed != nullptr) open_.push_back(placed);
    return placed != nullptr;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json* Place(Json value) {
    if (++values_ > limits_.max_values) {
      Refuse("JSON of more than " + std::to_string(limits_.max_values) + " values",
             ErrorCode::kResourceExhausted);
      return nullptr;
    }
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    Json& slot = parent[key_];
    slot = std::move(value);
    return &slot;
  }

  std::string_view text_;
  const std::string& where_;
  const JsonLimits& limits_;
  // The containers around the current value. Only the last one grows, so the pointers stay good.
  std::vector<Json*> open_;
  std::string key_;
  int64_t values_ = 0;
};

}  // namespace

Result<Json> ParseJson(std::string_view text, const std::string& where, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Error{ErrorCode::kResourceExhausted, where + ": JSON of " + std::to_string(text.size()) +
                                                    " bytes, over the limit of " +
                                                    std::to_string(limits.max_bytes)};
  }
  // The parser underneath skips a byte order mark and takes a NUL for the end of the text.
  if (text.starts_with("\xef\xbb\xbf")) {
    return At(where, text, 0, ErrorCode::kInvalidData, "not JSON: begins with a byte order mark");
  }
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return At(where, text, nul, ErrorCode::kInvalidData, "not JSON: holds a NUL byte");
  }
  try {
    Builder builder(text, where, limits);
    if (!Json::sax_parse(text, &builder)) return builder.error;
    return std::move(builder.root);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kResourceExhausted, where + ": no memory left for this JSON"};
  } catch (const std::exception& e) {
    return Error{ErrorCode::kInvalidData, where + ": not JSON: " + Reason(e.what())};
  }
}

Result<Json> ReadJsonFile(const std::filesystem::path& path, const JsonLimits& limits) {
  BERTIE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, limits.max_bytes));
  return ParseJson(text, path.string(), limits);
}

std::string DumpJson(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

const char* JsonTypeName(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "an integer";
    case Json::value_t::number_float:
      return "a number";
    case Json::value_t::binary:
    case Json::value_t::discarded:
      break;
  }
  return "something that is not JSON";
}

}  // namespace bertie::formats
