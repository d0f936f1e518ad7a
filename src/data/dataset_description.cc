#include <algorithm>
#include <charconv>
#include <sstream>
#include <string>

#include "base/quote.h"
#include "data/dataset.h"

namespace bertie::data {
namespace {

std::string ColumnName(const TableReport& table, int column) {
  const std::string& name = table.columns[static_cast<size_t>(column)];
  return table.has_header ? Quote(name, 40) : name;
}

// Lines beyond those whose messages are shown.
std::string MoreBadLines(const Dataset& dataset) {
  constexpr size_t kMostLines = 100;
  std::string text;
  for (size_t i = dataset.bad_rows.size(); i < dataset.bad_lines.size(); ++i) {
    if (i == kMostLines) {
      return text + ", ... (" + std::to_string(dataset.bad_lines.size() - i) + " more)\n";
    }
    text += (text.empty() ? "  left out too: lines " : ", ") + std::to_string(dataset.bad_lines[i]);
  }
  return text.empty() ? text : text + "\n";
}

std::string DescribeLabels(const Dataset& dataset) {
  const bool several = dataset.problem() == ProblemType::kMultiLabel;
  std::string text = several ? "  labels (id, name, rows):" : "  labels:";
  for (size_t i = 0; i < dataset.labels.size() && i < 20; ++i) {
    text += (i > 0 ? ", " : " ") + (several ? std::to_string(i) + " " : std::string()) +
            Quote(dataset.labels[i], 40) + " " + std::to_string(dataset.label_counts[i]);
  }
  if (dataset.labels.size() > 20)
    text += ", ... (" + std::to_string(dataset.labels.size()) + " labels)";
  return text + "\n";
}

std::string DescribeNumbers(const Dataset& dataset) {
  const auto [least, most] =
      std::minmax_element(dataset.examples.begin(), dataset.examples.end(),
                          [](const Example& a, const Example& b) { return a.number < b.number; });
  double mean = 0;
  for (const Example& example : dataset.examples) {
    mean += example.number / static_cast<double>(dataset.examples.size());
  }
  std::ostringstream out;
  out << "  numbers: from " << least->number << " to " << most->number << ", mean " << mean << "\n";
  return out.str();
}

// How several labels or numbers were found, and two rows as they were understood.
std::string DescribeKind(const Dataset& dataset) {
  const TableReport& table = dataset.table;
  if (table.problem == ProblemType::kSingleLabel) return "";
  std::string text = "  read as ";
  if (table.problem == ProblemType::kRegression) {
    text += "regression: a number a row\n";
  } else if (!table.label_columns.empty()) {
    text += "multi-label: columns of 0 and 1\n";
  } else if (!table.label_separator.empty()) {
    text += "multi-label: labels separated by " + Quote(table.label_separator) + "\n";
  } else {
    text += table.format == TableFormat::kFastText ? "multi-label: marked by __label__\n"
                                                   : "multi-label: lists\n";
  }
  for (size_t i = 0; i < dataset.examples.size() && i < 2; ++i) {
    const Example& example = dataset.examples[i];
    const std::string answer = ShowAnswer(example, dataset, ", ");
    text += "  line " + std::to_string(example.line) + ": " +
            (answer.empty() ? "no label" : answer) + " <- " + Quote(example.text, 60) + "\n";
  }
  return text;
}

}  // namespace

std::string ShowAnswer(const Example& example, const Dataset& dataset,
                       const std::string& separator) {
  const auto name = [&](int id) { return dataset.labels[static_cast<size_t>(id)]; };
  if (dataset.problem() == ProblemType::kSingleLabel) return name(example.label);
  if (dataset.problem() == ProblemType::kRegression) {
    char digits[32];
    return std::string(digits, std::to_chars(digits, digits + sizeof(digits), example.number).ptr);
  }
  std::string text;
  for (const int id : example.labels) text += (text.empty() ? "" : separator) + name(id);
  return text;
}

std::string DescribeDataset(const Dataset& dataset) {
  const TableReport& table = dataset.table;
  std::ostringstream out;
  out << table.source << ": " << TableFormatName(table.format);
  if (table.format == TableFormat::kCsv && table.delimiter != ',') {
    out << " with delimiter " << Quote(std::string(1, table.delimiter));
  }
  if (table.format == TableFormat::kTsv && table.quoted) out << " with quoted fields";
  if (table.format == TableFormat::kCsv || table.format == TableFormat::kTsv) {
    out << (table.has_header ? " with a header" : " without a header");
  }
  out << "\n  text: " << ColumnName(table, table.text_column);
  if (table.pair_column >= 0) out << ", second text: " << ColumnName(table, table.pair_column);
  if (table.label_column >= 0) out << ", label: " << ColumnName(table, table.label_column);
  out << "\n  rows: " << dataset.examples.size();
  if (dataset.skipped > 0) out << ", bad rows left out: " << dataset.skipped;
  out << "\n";
  out << (dataset.problem() == ProblemType::kRegression ? DescribeNumbers(dataset)
                                                        : DescribeLabels(dataset))
      << DescribeKind(dataset);
  for (const std::string& bad : dataset.bad_rows) out << "  left out: " << bad << "\n";
  out << MoreBadLines(dataset);
  return out.str();
}

}  // namespace bertie::data
