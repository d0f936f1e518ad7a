// The label, the labels or the number of a row, out of its cells.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "data/row_reader.h"
#include "formats/json.h"

namespace bertie::data {

// "the text ('sentence')": a column as messages name it.
std::string NameColumn(const TableReport& report, int column, const char* what);

// A column's text; nullopt where the row has nothing there.
using CellOf = std::function<Result<std::optional<std::string>>(int column)>;

// All set row's label, labels or number as report.problem has it, and report's label_column or
// label_columns. Where the options need no label, label is set as far as it is there. kInvalidData
// says what is wrong; the caller knows the line.
Status TakeLabels(const TableReport& report, const TableOptions& options, const CellOf& cell,
                  Row& row);

// Out of a line of JSON, where labels may be a list.
Status TakeJsonLabels(const TableReport& report, const TableOptions& options,
                      const formats::Json& object, Row& row);

// Those that stand before a fastText line's text.
Status TakeMarkedLabels(const TableReport& report, const TableOptions& options,
                        std::vector<std::string> labels, Row& row);

}  // namespace bertie::data
