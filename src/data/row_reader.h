// Rows of (text, pair, labels) out of files whose form is recognised by name and content.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/problem_type.h"
#include "base/status.h"

namespace bertie::data {

enum class TableFormat {
  kAuto,      // by the file's extension, else by its content
  kCsv,       // any delimiter, RFC 4180 quoting
  kTsv,       // tabs; quotes are plain characters unless the content shows RFC 4180 quoting
  kJsonl,     // one object a line
  kFastText,  // one text a line, its labels before it: "__label__spam win a prize"
  kText,      // one text a line, nothing else: no labels. Never recognised by content.
};

// "csv", "tsv", "jsonl", "fasttext", "text".
const char* TableFormatName(TableFormat format);

// How to read a file; what is left unset is found out from the content.
struct TableOptions {
  TableFormat format = TableFormat::kAuto;
  // A column's name in the header (a JSON object's key), or its number from 1.
  std::string text_column = {};
  std::string pair_column = {};
  std::string label_column = {};
  // Unset: kMultiLabel where a separator or columns of labels are given, or where the content shows
  // it (a list of labels in the first JSON line, several labels of a fastText line); else
  // kSingleLabel.
  std::optional<ProblemType> problem = {};
  std::string label_separator = {};             // between the labels in a cell of label_column
  std::vector<std::string> label_columns = {};  // instead of it: columns of 0 and 1, by label
  std::optional<char> delimiter = {};           // implies kCsv
  std::optional<bool> has_header = {};          // csv and tsv only
  // False: a file without a label column is fine, rows have none, and an empty text is one too
  // (each line gets its answer).
  bool need_label = true;
};

// What was found out about a file.
struct TableReport {
  std::string source;  // the file's name, "stdin" for "-"
  TableFormat format = TableFormat::kAuto;
  char delimiter = ',';
  bool quoted = true;  // RFC 4180 quoting
  bool has_header = false;
  // The header's names, or "column 1", ...; for JSON lines the first object's keys.
  std::vector<std::string> columns;
  // Indices into columns; -1 where there is none.
  int text_column = -1;
  int pair_column = -1;
  int label_column = -1;
  ProblemType problem = ProblemType::kSingleLabel;
  std::string label_separator;  // "": lists
  std::vector<int>
      label_columns;  // columns of 0 and 1, one for each label; label_column is -1 then
};

struct Row {
  std::string text;  // valid UTF-8
  std::optional<std::string> pair;
  std::optional<std::string> label;  // without blanks around it; not empty
  int64_t line = 0;                  // where the row begins, from 1
  // Instead of label, where the report's problem is kMultiLabel, or a number where it is
  // kRegression.
  std::vector<std::string> labels = {};
  double number = 0;
};

// Reads rows one after another in constant memory (some MiB, or the longest row). One thread at a
// time.
class RowReader {
 public:
  // "-" is stdin. Reads the beginning and finds out the form; kInvalidArgument where it takes the
  // options to decide, saying which.
  static Result<RowReader> Open(const std::string& source, const TableOptions& options);
  RowReader(RowReader&&) noexcept;
  RowReader& operator=(RowReader&&) noexcept;
  ~RowReader();

  const TableReport& report() const;

  // Fills row and returns true; false at the end. An error of kind kInvalidData or
  // kResourceExhausted is about one row ("FILE:LINE: ..."): the next call goes on with the row
  // after it. After any other error the reader is spent.
  Result<bool> Next(Row& row);

  // False when the next call may have to wait for input: whoever collects rows should deal first
  // with those in hand.
  bool HasBuffered() const;

 private:
  struct Impl;
  explicit RowReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::data
