// One line of a JSON-lines file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/json.h"

namespace bertie::data {

// The object in a line; messages begin with "WHERE:LINE:". kInvalidData where it is none.
Result<formats::Json> ParseJsonLine(std::string_view line, const std::string& where,
                                    int64_t number);

// A value as the text of a column: a string as it is, whole numbers in digits, true and false by
// name. nullopt for null; kInvalidData for anything else.
Result<std::optional<std::string>> JsonText(const formats::Json& value);

// A member as the text of a column, nullopt where it is missing. The message names it.
Result<std::optional<std::string>> JsonField(const formats::Json& object, const std::string& key);

// Whether the first line that has a value under this key has a list there.
bool FirstIsJsonList(std::string_view beginning, const std::string& key);

// The first object's keys, then what the lines have for them ("" where that is no plain value).
// Lines that cannot be read are left out.
std::vector<std::vector<std::string>> SampleJsonLines(std::string_view beginning, size_t max_rows);

}  // namespace bertie::data
