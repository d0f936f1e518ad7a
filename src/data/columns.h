// Which columns of a table hold the text and the label.
#pragma once

#include "base/status.h"
#include "data/row_reader.h"
#include "data/sniff.h"

namespace bertie::data {

// Sets report's has_header, columns, text_column, pair_column, and label_column or label_columns:
// by the options, else by the header's names, else by the content (CoLA's four columns; the column
// of long texts and the one of few values). sample: the file's first rows, the header among them.
// kInvalidArgument where the options name what is not there, or where only they can decide.
Status ResolveColumns(const Sample& sample, const TableOptions& options, TableReport& report);

}  // namespace bertie::data
