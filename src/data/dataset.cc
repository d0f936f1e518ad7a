#include "data/dataset.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <unordered_map>

#include "base/quote.h"
#include "data/whole_number.h"

namespace bertie::data {
namespace {

constexpr size_t kBadRowsShown = 5;
// Beyond this many rows, most of them bad, the file is not what it was taken for.
constexpr int64_t kBadRowsHopeless = 1000;
// More labels than this, and half as many as rows, is a column of something else (ids, texts).
constexpr size_t kManyLabels = 100;

std::string ShowLabels(const std::vector<std::string>& labels) {
  std::string text;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (i == 10) return text + ", ... (" + std::to_string(labels.size()) + " labels)";
    text += (i > 0 ? ", " : "") + Quote(labels[i], 40);
  }
  return text;
}

// Whether the labels are LABEL_0, LABEL_1, ...: what transformers calls labels without names.
bool Unnamed(const std::vector<std::string>& labels) {
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] != "LABEL_" + std::to_string(i)) return false;
  }
  return true;
}

std::unordered_map<std::string, int> Ids(const std::vector<std::string>& labels) {
  std::unordered_map<std::string, int> ids;
  const bool unnamed = Unnamed(labels);
  for (size_t i = 0; i < labels.size(); ++i) {
    ids.emplace(labels[i], static_cast<int>(i));
    if (unnamed) ids.emplace(std::to_string(i), static_cast<int>(i));
  }
  return ids;
}

class Loader {
 public:
  Loader(RowReader reader, const DatasetOptions& options)
      : reader_(std::move(reader)), options_(options) {
    dataset_.table = reader_.report();
    dataset_.labels = options.labels;
    ids_ = Ids(dataset_.labels);
  }

  Result<Dataset> Run() {
    const bool learn = options_.labels.empty();
    BERTIE_RETURN_IF_ERROR(ReadRows(learn));
    if (dataset_.examples.empty()) return Fail("found no usable row");
    if (learn) BERTIE_RETURN_IF_ERROR(LearnLabels());
    dataset_.label_counts.resize(dataset_.labels.size());
    for (const Example& example : dataset_.examples) {
      ++dataset_.label_counts[static_cast<size_t>(example.label)];
    }
    return std::move(dataset_);
  }

 private:
  Error Fail(const std::string& what) const {
    return {ErrorCode::kInvalidData, dataset_.table.source + ": " + what};
  }

  Status ReadRows(bool learn) {
    Row row;
    for (;;) {
      Result<bool> more = reader_.Next(row);
      if (more.ok() && !*more) return {};
      if (!more.ok()) {
        BERTIE_RETURN_IF_ERROR(Bad(more.error()));
        continue;
      }
      auto id = ids_.find(*row.label);
      if (id == ids_.end() && !learn) {
        BERTIE_RETURN_IF_ERROR(
            Bad({ErrorCode::kInvalidData, dataset_.table.source + ":" + std::to_string(row.line) +
                                              ": found the label " + Quote(*row.label) +
                                              "; expected one of " + ShowLabels(dataset_.labels)}));
        continue;
      }
      if (id == ids_.end()) {
        id = ids_.emplace(*row.label, static_cast<int>(dataset_.labels.size())).first;
        dataset_.labels.push_back(*row.label);
      }
      dataset_.examples.push_back({std::move(row.text), std::move(row.pair), id->second, row.line});
    }
  }

  // Counts a bad row, or gives its error back where it must not be passed over.
  Status Bad(const Error& error) {
    const bool one_row =
        error.code == ErrorCode::kInvalidData || error.code == ErrorCode::kResourceExhausted;
    if (!options_.skip_bad || !one_row) return error;
    ++dataset_.skipped;
    if (dataset_.bad_rows.size() < kBadRowsShown) dataset_.bad_rows.push_back(error.message);
    if (dataset_.skipped >= kBadRowsHopeless &&
        dataset_.skipped > static_cast<int64_t>(dataset_.examples.size())) {
      return Fail("found " + std::to_string(dataset_.skipped) + " bad rows and " +
                  std::to_string(dataset_.examples.size()) +
                  " good ones; expected fewer bad ones. The first: " + dataset_.bad_rows.front());
    }
    return {};
  }

  // The labels in order, in place of the order in which they were met.
  Status LearnLabels() {
    const size_t rows = dataset_.examples.size();
    if (dataset_.labels.size() < 2) {
      return Fail("all " + std::to_string(rows) + " rows have the label " +
                  Quote(dataset_.labels.front()) + "; expected two labels at least");
    }
    if (dataset_.labels.size() > kManyLabels && dataset_.labels.size() * 2 > rows) {
      return Fail("found " + std::to_string(dataset_.labels.size()) + " labels in " +
                  std::to_string(rows) + " rows (" + ShowLabels(dataset_.labels) +
                  "); expected few that repeat. Name the column of labels with --label-column");
    }
    const std::vector<std::string> met = std::move(dataset_.labels);
    dataset_.labels = SortedLabels(met);
    const auto ids = Ids(dataset_.labels);
    for (Example& example : dataset_.examples) {
      example.label = ids.at(met[static_cast<size_t>(example.label)]);
    }
    return {};
  }

  RowReader reader_;
  const DatasetOptions& options_;
  Dataset dataset_;
  std::unordered_map<std::string, int> ids_;
};

std::string ColumnName(const TableReport& table, int column) {
  const std::string& name = table.columns[static_cast<size_t>(column)];
  return table.has_header ? Quote(name, 40) : name;
}

}  // namespace

std::vector<std::string> SortedLabels(std::vector<std::string> names) {
  const std::set<std::string> different(names.begin(), names.end());
  std::vector<std::string> labels(different.begin(), different.end());
  const bool numbers = std::all_of(labels.begin(), labels.end(), [](const std::string& label) {
    return ParseWholeNumber(label).has_value();
  });
  if (numbers) {
    std::sort(labels.begin(), labels.end(), [](const std::string& a, const std::string& b) {
      return *ParseWholeNumber(a) < *ParseWholeNumber(b);
    });
  }
  return labels;
}

Result<Dataset> LoadDataset(const std::string& source, const DatasetOptions& options) {
  TableOptions table = options.table;
  table.need_label = true;
  if (table.format == TableFormat::kText) {
    return Error{ErrorCode::kInvalidArgument,
                 source + ": plain text has no labels; expected csv, tsv or jsonl"};
  }
  BERTIE_ASSIGN_OR_RETURN(RowReader reader, RowReader::Open(source, table));
  return Loader(std::move(reader), options).Run();
}

std::string DescribeDataset(const Dataset& dataset) {
  const TableReport& table = dataset.table;
  std::ostringstream out;
  out << table.source << ": " << TableFormatName(table.format);
  if (table.format == TableFormat::kCsv && table.delimiter != ',') {
    out << " with delimiter " << Quote(std::string(1, table.delimiter));
  }
  if (table.format == TableFormat::kTsv && table.quoted) out << " with quoted fields";
  if (table.format != TableFormat::kJsonl) {
    out << (table.has_header ? " with a header" : " without a header");
  }
  out << "\n  text: " << ColumnName(table, table.text_column);
  if (table.pair_column >= 0) out << ", second text: " << ColumnName(table, table.pair_column);
  out << ", label: " << ColumnName(table, table.label_column)
      << "\n  rows: " << dataset.examples.size();
  if (dataset.skipped > 0) out << ", bad rows left out: " << dataset.skipped;
  out << "\n  labels:";
  for (size_t i = 0; i < dataset.labels.size() && i < 20; ++i) {
    out << (i > 0 ? ", " : " ") << Quote(dataset.labels[i], 40) << " " << dataset.label_counts[i];
  }
  if (dataset.labels.size() > 20) out << ", ... (" << dataset.labels.size() << " labels)";
  out << "\n";
  for (const std::string& bad : dataset.bad_rows) out << "  left out: " << bad << "\n";
  return out.str();
}

}  // namespace bertie::data
