// Flags of every command that reads labelled sentences.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/status.h"
#include "data/dataset.h"

namespace bertie::cli {

// What --text-column, --pair-column, --label-column, --delimiter, --input-format, --header,
// --no-header and
// --skip-bad were set to.
struct DataFlags {
  std::string text, pair, label, delimiter, format;
  bool header = false;
  bool no_header = false;
  bool skip_bad = false;
};

// Registers them under the heading "How to read the data". flags must outlive the parsing.
void AddDataFlags(CLI::App& command, DataFlags& flags);

// The options they stand for; kInvalidArgument, naming the flag, where a value makes no sense.
Result<data::DatasetOptions> ToDatasetOptions(const DataFlags& flags);

}  // namespace bertie::cli
