// What the labels of a file are: one a row, several, or a number.
#pragma once

#include <string_view>

#include "base/status.h"
#include "data/row_reader.h"

namespace bertie::data {

// Rows of a file's beginning that are looked at.
inline constexpr size_t kSampleRows = 1000;

// Sets report's problem and label_separator, by the options, else by the content. The columns are
// resolved. beginning: the file's first records, whole ones. kInvalidArgument where only the
// options can tell how several labels are written.
Status ResolveProblem(std::string_view beginning, const TableOptions& options, TableReport& report);

// The same for fastText's lines, and their columns.
Status ResolveFastText(std::string_view beginning, const TableOptions& options,
                       TableReport& report);

}  // namespace bertie::data
