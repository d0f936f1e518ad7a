// Labelled sentences out of csv, tsv and JSON-lines files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/row_reader.h"

namespace bertie::data {

struct Example {
  std::string text;                 // valid UTF-8, not empty
  std::optional<std::string> pair;  // a second text, for sentence pairs
  int label = 0;                    // index into Dataset::labels
  int64_t line = 0;                 // where its row begins in the file, from 1
  // Instead of label, by the table's problem:
  std::vector<int> labels = {};  // kMultiLabel: indices, ascending, each once
  double number = 0;             // kRegression: finite, as a float too

  bool HasAnswerOf(const Example& other) const {
    return label == other.label && labels == other.labels && number == other.number;
  }
};

struct DatasetOptions {
  TableOptions table = {};
  // The labels in id order: a model's, or the training data's for its test data. Empty: learnt from
  // the file, in the order of their numbers when all are whole numbers, else in byte order.
  // Where they are LABEL_0, LABEL_1, ... (a model whose labels have no names), a file's 0, 1, ...
  // stand for them. Of no use in a regression.
  std::vector<std::string> labels = {};
  // Rows that cannot be used (no text, no label, a label not among `labels`, a wrong number of
  // columns, invalid UTF-8) are left out and counted instead of being an error.
  bool skip_bad = false;
};

struct Dataset {
  std::vector<Example> examples;
  std::vector<std::string> labels;    // names, in id order; none in a regression
  std::vector<int64_t> label_counts;  // examples of each label
  TableReport table;                  // how the file was read
  int64_t skipped = 0;                // bad rows, with skip_bad
  std::vector<std::string> bad_rows;  // messages of the first few of them
  std::vector<int64_t> bad_lines;     // where each of them begins

  ProblemType problem() const { return table.problem; }
};

// Reads a whole file; "-" is stdin. Errors name FILE:LINE where a row is at fault, what was found
// and what was expected. kInvalidData: a bad row, no usable row, fewer than two different labels
// where they are learnt (none, where a row may have several), or so many of them that the column is
// not one of labels;
// kInvalidArgument: a column named in the options is not there, or none could be recognised.
Result<Dataset> LoadDataset(const std::string& source, const DatasetOptions& options = {});

// An example that cannot be used after all.
struct UnusableExample {
  size_t index = 0;  // into Dataset::examples
  std::string message;
};

// Leaves examples out as skip_bad does bad rows, and counts them among those. unusable is in the
// order of the examples. kInvalidData: no usable row is left, or too few of many.
Status LeaveOut(const std::vector<UnusableExample>& unusable, Dataset& dataset);

// Adds the example's labels to counts, which has a number for each label.
void CountLabels(const Example& example, ProblemType problem, std::vector<int64_t>& counts);

// What was read, for people: the file's form, the columns taken, rows and labels with their counts,
// one fact a line. Where a row has several labels or a number, also the labels' ids and two rows as
// they were understood.
std::string DescribeDataset(const Dataset& dataset);

// An example's label, labels or number as a file has it; labels with `separator` between them.
std::string ShowAnswer(const Example& example, const Dataset& dataset,
                       const std::string& separator);

// The labels among `names` (with repetitions) in the order in which they get their ids.
std::vector<std::string> SortedLabels(std::vector<std::string> names);

}  // namespace bertie::data
