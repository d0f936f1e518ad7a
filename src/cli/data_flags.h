// Flags of every command that reads labelled sentences.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/status.h"
#include "data/dataset.h"
#include "model/config.h"

namespace bertie::cli {

// What --text-column, --pair-column, --label-column, --labels, --label-separator, --delimiter,
// --input-format, --multi-label, --regression, --header, --no-header and --skip-bad were set to.
struct DataFlags {
  std::string text, pair, label, labels, label_separator, delimiter, format;
  bool multi_label = false;
  bool regression = false;
  bool header = false;
  bool no_header = false;
  bool skip_bad = false;
};

// Registers them under the heading "How to read the data". flags must outlive the parsing.
void AddDataFlags(CLI::App& command, DataFlags& flags);

// The options they stand for; kInvalidArgument, naming the flag, where a value makes no sense.
Result<data::DatasetOptions> ToDatasetOptions(const DataFlags& flags);

// Has the options read what a model answers: its labels by their ids, or numbers. model: its name
// in messages. kInvalidArgument where the flags asked for something else; kUnsupported: a
// regression of several numbers.
Status ReadAsModelAnswers(const model::Config& config, const std::string& model,
                          data::DatasetOptions& options);

}  // namespace bertie::cli
