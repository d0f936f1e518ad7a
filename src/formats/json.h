// JSON (RFC 8259) in with limits, and out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace bertie::formats {

// Objects keep their keys sorted. Members that throw (at, get with another type) are the caller's
// to avoid: look at the type first, or use the helpers below.
using Json = nlohmann::json;

enum class DuplicateKeys {
  kLastWins,  // as Python's and JavaScript's own readers have it
  kRefuse,
};

struct JsonLimits {
  size_t max_bytes = size_t{64} << 20;
  // Arrays and objects inside each other.
  int max_depth = 64;
  // Values of any kind, keys not counted; bounds the memory that a small text can ask for.
  int64_t max_values = int64_t{16} << 20;
  DuplicateKeys duplicate_keys = DuplicateKeys::kLastWins;
};

// Parses one JSON text. Refuses, with "WHERE:LINE:COLUMN: ..." (both from 1, columns in bytes):
// anything that is not JSON, text after the value, a byte order mark, invalid UTF-8, half a
// surrogate pair, numbers too large for a double, NaN and Infinity (kInvalidData); texts over a
// limit (kResourceExhausted). Messages hold at most 100 characters of the text, escaped. Never
// throws; the stack does not grow with depth. Integers beyond 64 bits become doubles.
Result<Json> ParseJson(std::string_view text, const std::string& where,
                       const JsonLimits& limits = {});

Result<Json> ReadJsonFile(const std::filesystem::path& path, const JsonLimits& limits = {});

// indent < 0: one line without blanks, else that many blanks a level. Characters stay UTF-8; bytes
// that are not valid UTF-8 become U+FFFD. NaN and infinities become null. Never throws.
std::string DumpJson(const Json& value, int indent = -1);

// "a string", "an array", ...: for messages about what was found.
const char* JsonTypeName(const Json& value);

}  // namespace bertie::formats
