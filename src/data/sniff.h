// What form a file has, from its name and its beginning.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "data/row_reader.h"

namespace bertie::data {

// Rows of fields; for JSON lines the first one holds the keys.
using Sample = std::vector<std::vector<std::string>>;

// Sets report's format, delimiter and quoted. beginning: the file's first records, whole ones.
// kInvalidData for what is none of the formats (UTF-16, a JSON array).
Status SniffForm(std::string_view beginning, const TableOptions& options, TableReport& report);

// Up to max_rows rows of the beginning, without those that cannot be read.
Sample ReadSample(std::string_view beginning, const TableReport& report, size_t max_rows);

}  // namespace bertie::data
