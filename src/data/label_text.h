// Labels and numbers as files have them. Messages say what was found and what was expected; the
// caller knows the place.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/json.h"

namespace bertie::data {

// Without the blanks around it.
std::string_view WithoutBlanks(std::string_view text);

// A finite number as "3", "-0.5" or "1e-3"; nothing may stand beside it.
std::optional<double> ParseNumber(std::string_view text);

// kInvalidData where a label comes twice.
Status CheckOnce(std::vector<std::string> labels);

// The labels in a cell, without blanks around them; empty parts are none. kInvalidData where one
// comes twice.
Result<std::vector<std::string>> SplitLabels(std::string_view cell, std::string_view separator);

// The labels in a list of JSON: strings or numbers. kInvalidData for anything else, and where one
// comes twice (a list of 0 and 1 for all labels is none of names).
Result<std::vector<std::string>> ListedLabels(const formats::Json& value);

// Whether a cell says that the row has the column's label: 1 or 0, also as true or false or as
// pandas writes numbers, 1.0.
Result<bool> ParseMark(std::string_view cell);

// fastText's line: "__label__sauce __label__cheese How much does potato starch affect ...?".
struct FastTextLine {
  std::vector<std::string> labels;
  std::string_view text;
};
inline constexpr std::string_view kFastTextMark = "__label__";
FastTextLine SplitFastText(std::string_view line);

}  // namespace bertie::data
