#include "data/label_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/quote.h"
#include "data/json_line.h"

namespace bertie::data {

Status CheckOnce(std::vector<std::string> labels) {
  std::sort(labels.begin(), labels.end());
  const auto twice = std::adjacent_find(labels.begin(), labels.end());
  if (twice == labels.end()) return {};
  return Error{ErrorCode::kInvalidData, "found the label " + Quote(*twice) +
                                            " twice; expected each label of the row once (columns "
                                            "of 0 and 1 are read by --labels)"};
}

std::string_view WithoutBlanks(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::optional<double> ParseNumber(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  // Also what is no number as a float, in which the model computes.
  if (!std::isfinite(static_cast<float>(number))) return std::nullopt;
  return number;
}

Result<std::vector<std::string>> SplitLabels(std::string_view cell, std::string_view separator) {
  std::vector<std::string> labels;
  for (;;) {
    const size_t end = separator.empty() ? std::string_view::npos : cell.find(separator);
    const std::string_view part = WithoutBlanks(cell.substr(0, end));
    if (!part.empty()) labels.emplace_back(part);
    if (end == std::string_view::npos) break;
    cell.remove_prefix(end + separator.size());
  }
  BERTIE_RETURN_IF_ERROR(CheckOnce(labels));
  return labels;
}

Result<std::vector<std::string>> ListedLabels(const formats::Json& value) {
  std::vector<std::string> labels;
  for (const formats::Json& item : value) {
    const auto text = JsonText(item);
    const std::string label(text.ok() && *text ? WithoutBlanks(**text) : std::string_view());
    if (label.empty()) {
      return Error{ErrorCode::kInvalidData,
                   std::string("found ") +
                       (text.ok() ? formats::DumpJson(item) : formats::JsonTypeName(item)) +
                       " in a list of labels; expected a string or a number"};
    }
    labels.emplace_back(label);
  }
  BERTIE_RETURN_IF_ERROR(CheckOnce(labels));
  return labels;
}

Result<bool> ParseMark(std::string_view cell) {
  for (const std::string_view yes : {"1", "1.0", "true", "True", "TRUE"}) {
    if (cell == yes) return true;
  }
  for (const std::string_view no : {"0", "0.0", "false", "False", "FALSE"}) {
    if (cell == no) return false;
  }
  return Error{ErrorCode::kInvalidData, "found " + Quote(cell, 40) + "; expected 0 or 1"};
}

FastTextLine SplitFastText(std::string_view line) {
  FastTextLine found;
  line = WithoutBlanks(line);
  while (line.starts_with(kFastTextMark)) {
    const size_t end = std::min(line.find_first_of(" \t"), line.size());
    found.labels.emplace_back(line.substr(kFastTextMark.size(), end - kFastTextMark.size()));
    line = WithoutBlanks(line.substr(end));
  }
  found.text = line;
  return found;
}

}  // namespace bertie::data
