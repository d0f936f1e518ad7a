#include "data/row_labels.h"

#include <algorithm>
#include <utility>

#include "base/quote.h"
#include "data/json_line.h"
#include "data/label_text.h"

namespace bertie::data {
namespace {

Error BadLabel(const std::string& what) { return {ErrorCode::kInvalidData, what}; }

// What columns of 0 and 1 say: the names of those that are 1.
Status TakeColumns(const TableReport& report, const CellOf& cell, Row& row) {
  for (const int column : report.label_columns) {
    const std::string& name = report.columns[static_cast<size_t>(column)];
    BERTIE_ASSIGN_OR_RETURN(const std::optional<std::string> text, cell(column));
    const auto marked = ParseMark(text ? WithoutBlanks(*text) : std::string_view());
    if (!marked.ok()) return BadLabel("column " + Quote(name, 40) + ": " + marked.error().message);
    if (*marked) row.labels.push_back(name);
  }
  return {};
}

Status TakeNumber(const TableReport& report, Row& row) {
  const auto number = ParseNumber(*row.label);
  if (!number) {
    return BadLabel(NameColumn(report, report.label_column, "the label") + " is " +
                    Quote(*row.label, 40) + "; expected a finite number, such as 3, -0.5 or 1e-3");
  }
  row.number = *number;
  return {};
}

// What the cell of the label column says.
Status TakeCell(const TableReport& report, const TableOptions& options,
                const std::optional<std::string>& cell, Row& row) {
  row.label.reset();
  const std::string_view text = cell ? WithoutBlanks(*cell) : std::string_view();
  if (!text.empty()) row.label = std::string(text);
  if (!options.need_label) return {};
  if (report.problem == ProblemType::kMultiLabel && cell) {
    BERTIE_ASSIGN_OR_RETURN(row.labels, SplitLabels(text, report.label_separator));
    return {};
  }
  if (!row.label)
    return BadLabel(NameColumn(report, report.label_column, "the label") + " is empty");
  return report.problem == ProblemType::kRegression ? TakeNumber(report, row) : Status();
}

}  // namespace

std::string NameColumn(const TableReport& report, int column, const char* what) {
  const std::string& name = report.columns[static_cast<size_t>(column)];
  return std::string(what) + " (" + (report.has_header ? Quote(name) : name) + ")";
}

Status TakeLabels(const TableReport& report, const TableOptions& options, const CellOf& cell,
                  Row& row) {
  row.labels.clear();
  if (!report.label_columns.empty() && options.need_label) return TakeColumns(report, cell, row);
  std::optional<std::string> text;
  if (report.label_column >= 0) {
    BERTIE_ASSIGN_OR_RETURN(text, cell(report.label_column));
  }
  return TakeCell(report, options, text, row);
}

Status TakeJsonLabels(const TableReport& report, const TableOptions& options,
                      const formats::Json& object, Row& row) {
  const auto cell = [&](int column) -> Result<std::optional<std::string>> {
    auto text = JsonField(object, report.columns[static_cast<size_t>(column)]);
    // Where labels are not asked for, a list of them does no harm.
    if (!text.ok() && !options.need_label) return std::optional<std::string>();
    return text;
  };
  const bool lists = report.problem == ProblemType::kMultiLabel && report.label_columns.empty() &&
                     report.label_separator.empty();
  if (!options.need_label || report.label_column < 0) return TakeLabels(report, options, cell, row);
  const std::string& key = report.columns[static_cast<size_t>(report.label_column)];
  const auto member = object.find(key);
  if (!lists && member != object.end() && member->is_array()) {
    return BadLabel(
        Quote(key) +
        " is an array; expected a string or a number (--multi-label reads lists of labels)");
  }
  if (!lists) return TakeLabels(report, options, cell, row);
  if (member == object.end() || !member->is_array()) {
    return BadLabel(Quote(key) + " is " +
                    (member == object.end() ? "absent" : formats::JsonTypeName(*member)) +
                    "; expected a list of labels");
  }
  BERTIE_ASSIGN_OR_RETURN(row.labels, ListedLabels(*member));
  return {};
}

Status TakeMarkedLabels(const TableReport& report, const TableOptions& options,
                        std::vector<std::string> labels, Row& row) {
  if (!options.need_label) return {};
  if (std::find(labels.begin(), labels.end(), "") != labels.end()) {
    return BadLabel("found " + Quote(kFastTextMark) + " without a name behind it");
  }
  if (report.problem == ProblemType::kMultiLabel) {
    BERTIE_RETURN_IF_ERROR(CheckOnce(labels));
    row.labels = std::move(labels);
    return {};
  }
  if (labels.size() != 1) {
    return BadLabel("found " + std::to_string(labels.size()) +
                    " labels; expected one (--multi-label: any number of them)");
  }
  row.label = std::move(labels.front());
  return report.problem == ProblemType::kRegression ? TakeNumber(report, row) : Status();
}

}  // namespace bertie::data
