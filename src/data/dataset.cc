#include "data/dataset.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/quote.h"
#include "data/label_text.h"
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

// The line in a message "SOURCE:LINE: ...", 0 where there is none.
int64_t LineOf(const std::string& message, const std::string& source) {
  int64_t line = 0;
  if (message.starts_with(source + ":")) {
    std::from_chars(message.data() + source.size() + 1, message.data() + message.size(), line);
  }
  return line;
}

Error FailureOf(const Dataset& dataset, const std::string& what) {
  return {ErrorCode::kInvalidData, dataset.table.source + ": " + what};
}

Status CheckUsable(const Dataset& dataset) {
  return dataset.examples.empty() ? FailureOf(dataset, "found no usable row") : Status();
}

Status CheckHope(const Dataset& dataset) {
  const auto good = static_cast<int64_t>(dataset.examples.size());
  if (dataset.skipped < kBadRowsHopeless || dataset.skipped <= good) return {};
  return FailureOf(
      dataset, "found " + std::to_string(dataset.skipped) + " bad rows and " +
                   std::to_string(good) +
                   " good ones; expected fewer bad ones. The first: " + dataset.bad_rows.front());
}

void CountAllLabels(Dataset& dataset) {
  dataset.label_counts.assign(dataset.labels.size(), 0);
  for (const Example& example : dataset.examples) {
    CountLabels(example, dataset.problem(), dataset.label_counts);
  }
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
    if (problem() == ProblemType::kRegression) dataset_.labels.clear();
    if (!dataset_.table.label_columns.empty()) BERTIE_RETURN_IF_ERROR(TakeColumns());
    learn_ = dataset_.labels.empty();
    BERTIE_RETURN_IF_ERROR(ReadRows());
    BERTIE_RETURN_IF_ERROR(CheckUsable(dataset_));
    if (learn_ && problem() != ProblemType::kRegression) BERTIE_RETURN_IF_ERROR(LearnLabels());
    CountAllLabels(dataset_);
    return std::move(dataset_);
  }

 private:
  Error Fail(const std::string& what) const { return FailureOf(dataset_, what); }

  ProblemType problem() const { return dataset_.table.problem; }

  // Columns of 0 and 1 are the labels, in the order in which they were named, or all of those that
  // the options have.
  Status TakeColumns() {
    std::vector<std::string> names;
    for (const int column : dataset_.table.label_columns) {
      names.push_back(dataset_.table.columns[static_cast<size_t>(column)]);
    }
    if (dataset_.labels.empty()) {
      dataset_.labels = names;
      ids_ = Ids(names);
      return {};
    }
    for (const std::string& label : dataset_.labels) {
      if (std::find(names.begin(), names.end(), label) != names.end()) continue;
      return Error{ErrorCode::kInvalidArgument,
                   dataset_.table.source + ": found no column of the label " + Quote(label, 40) +
                       " among --labels; expected one for each of " + ShowLabels(dataset_.labels)};
    }
    return {};
  }

  // The label's id, learnt where labels are; an error with the row's place where it is unknown.
  Result<int> IdOf(const std::string& label, int64_t line) {
    auto id = ids_.find(label);
    if (id == ids_.end() && !learn_) {
      return Error{ErrorCode::kInvalidData, dataset_.table.source + ":" + std::to_string(line) +
                                                ": found the label " + Quote(label) +
                                                "; expected one of " + ShowLabels(dataset_.labels)};
    }
    if (id == ids_.end()) {
      id = ids_.emplace(label, static_cast<int>(dataset_.labels.size())).first;
      dataset_.labels.push_back(label);
    }
    return id->second;
  }

  // The row's label, labels or number.
  Status TakeAnswer(const Row& row, Example& example) {
    switch (problem()) {
      case ProblemType::kSingleLabel: {
        BERTIE_ASSIGN_OR_RETURN(example.label, IdOf(*row.label, row.line));
        break;
      }
      case ProblemType::kMultiLabel:
        for (const std::string& label : row.labels) {
          BERTIE_ASSIGN_OR_RETURN(const int id, IdOf(label, row.line));
          example.labels.push_back(id);
        }
        std::sort(example.labels.begin(), example.labels.end());
        break;
      case ProblemType::kRegression:
        example.number = row.number;
        break;
    }
    return {};
  }

  Status ReadRows() {
    Row row;
    for (;;) {
      Result<bool> more = reader_.Next(row);
      if (more.ok() && !*more) return {};
      if (!more.ok()) {
        BERTIE_RETURN_IF_ERROR(Bad(more.error()));
        continue;
      }
      Example example;
      if (const Status taken = TakeAnswer(row, example); !taken.ok()) {
        BERTIE_RETURN_IF_ERROR(Bad(taken.error()));
        continue;
      }
      example.text = std::move(row.text);
      example.pair = std::move(row.pair);
      example.line = row.line;
      dataset_.examples.push_back(std::move(example));
    }
  }

  // Counts a bad row, or gives its error back where it must not be passed over.
  Status Bad(const Error& error) {
    const bool one_row =
        error.code == ErrorCode::kInvalidData || error.code == ErrorCode::kResourceExhausted;
    if (!options_.skip_bad || !one_row) return error;
    ++dataset_.skipped;
    dataset_.bad_lines.push_back(LineOf(error.message, dataset_.table.source));
    if (dataset_.bad_rows.size() < kBadRowsShown) dataset_.bad_rows.push_back(error.message);
    return CheckHope(dataset_);
  }

  // The labels in order, in place of the order in which they were met.
  Status LearnLabels() {
    const size_t rows = dataset_.examples.size();
    if (problem() == ProblemType::kMultiLabel && dataset_.labels.empty()) {
      return Fail("none of " + std::to_string(rows) + " rows has a label; expected one at least");
    }
    if (problem() == ProblemType::kSingleLabel && dataset_.labels.size() < 2) {
      return Fail("all " + std::to_string(rows) + " rows have the label " +
                  Quote(dataset_.labels.front()) + "; expected two labels at least");
    }
    if (dataset_.labels.size() > kManyLabels && dataset_.labels.size() * 2 > rows) {
      return Fail("found " + std::to_string(dataset_.labels.size()) + " labels in " +
                  std::to_string(rows) + " rows (" + ShowLabels(dataset_.labels) +
                  "); expected few that repeat. Name the column of labels with --label-column" +
                  OtherKinds());
    }
    const std::vector<std::string> met = std::move(dataset_.labels);
    dataset_.labels = SortedLabels(met);
    const auto ids = Ids(dataset_.labels);
    for (Example& example : dataset_.examples) {
      if (problem() == ProblemType::kSingleLabel) {
        example.label = ids.at(met[static_cast<size_t>(example.label)]);
      }
      for (int& label : example.labels) label = ids.at(met[static_cast<size_t>(label)]);
      std::sort(example.labels.begin(), example.labels.end());
    }
    return {};
  }

  // What labels that hardly repeat may be, with the flag that reads them so.
  std::string OtherKinds() const {
    const auto& labels = dataset_.labels;
    if (problem() == ProblemType::kSingleLabel &&
        std::all_of(labels.begin(), labels.end(),
                    [](const std::string& label) { return ParseNumber(label).has_value(); })) {
      return "; numbers to be predicted as numbers are read by --regression";
    }
    return problem() == ProblemType::kSingleLabel
               ? "; cells of several labels are read by --label-separator"
               : "";
  }

  RowReader reader_;
  const DatasetOptions& options_;
  Dataset dataset_;
  std::unordered_map<std::string, int> ids_;
  bool learn_ = false;
};

}  // namespace

void CountLabels(const Example& example, ProblemType problem, std::vector<int64_t>& counts) {
  if (problem == ProblemType::kSingleLabel) ++counts[static_cast<size_t>(example.label)];
  for (const int label : example.labels) ++counts[static_cast<size_t>(label)];
}

Status LeaveOut(const std::vector<UnusableExample>& unusable, Dataset& dataset) {
  std::multimap<int64_t, std::string> bad;  // by line; messages are there of the first ones
  for (size_t i = 0; i < dataset.bad_lines.size(); ++i) {
    bad.emplace(dataset.bad_lines[i], i < dataset.bad_rows.size() ? dataset.bad_rows[i] : "");
  }
  std::vector<Example> good;
  auto next = unusable.begin();
  for (size_t i = 0; i < dataset.examples.size(); ++i) {
    if (next == unusable.end() || next->index != i) {
      good.push_back(std::move(dataset.examples[i]));
    } else {
      bad.emplace(dataset.examples[i].line, (next++)->message);
    }
  }
  dataset.examples = std::move(good);
  dataset.skipped = static_cast<int64_t>(bad.size());
  dataset.bad_rows.clear();
  dataset.bad_lines.clear();
  for (auto& [line, message] : bad) {
    if (dataset.bad_rows.size() < kBadRowsShown) dataset.bad_rows.push_back(std::move(message));
    dataset.bad_lines.push_back(line);
  }
  CountAllLabels(dataset);
  BERTIE_RETURN_IF_ERROR(CheckUsable(dataset));
  return CheckHope(dataset);
}

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

}  // namespace bertie::data
