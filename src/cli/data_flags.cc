#include "cli/data_flags.h"

#include "base/quote.h"
#include "data/label_text.h"
#include "model/problem.h"
#include "serve/answer.h"

namespace bertie::cli {
namespace {

constexpr const char* kGroup = "How to read the data (found out from the file where not given)";

Result<data::TableFormat> ParseFormat(const std::string& name) {
  for (data::TableFormat format :
       {data::TableFormat::kCsv, data::TableFormat::kTsv, data::TableFormat::kJsonl,
        data::TableFormat::kFastText, data::TableFormat::kText}) {
    if (name == data::TableFormatName(format)) return format;
  }
  if (name.empty() || name == "auto") return data::TableFormat::kAuto;
  return Error{
      ErrorCode::kInvalidArgument,
      "--input-format is " + Quote(name) + "; expected auto, csv, tsv, jsonl, fasttext or text"};
}

// "tab", "comma", "semicolon", "pipe" by name, else the text as it is.
std::string ByName(const std::string& text) {
  if (text == "tab" || text == "\\t") return "\t";
  if (text == "comma") return ",";
  if (text == "semicolon") return ";";
  return text == "pipe" ? "|" : text;
}

// What the flags say of the labels.
Status TakeLabelFlags(const DataFlags& flags, data::TableOptions& table) {
  const bool several = flags.multi_label || !flags.labels.empty() || !flags.label_separator.empty();
  if (flags.regression && several) {
    return Error{ErrorCode::kInvalidArgument,
                 "--regression does not go with --multi-label, --labels or --label-separator: a "
                 "row has a number or labels"};
  }
  if (!flags.labels.empty() && !(flags.label.empty() && flags.label_separator.empty())) {
    return Error{ErrorCode::kInvalidArgument,
                 "--labels does not go with --label-column or --label-separator: labels are in "
                 "columns of their own or in one"};
  }
  if (flags.regression) table.problem = ProblemType::kRegression;
  if (several) table.problem = ProblemType::kMultiLabel;
  table.label_separator = ByName(flags.label_separator);
  if (flags.labels.empty()) return {};
  auto columns = data::SplitLabels(flags.labels, ",");
  if (!columns.ok()) {
    return Error{ErrorCode::kInvalidArgument, "--labels: " + columns.error().message};
  }
  table.label_columns = std::move(*columns);
  return {};
}

}  // namespace

void AddDataFlags(CLI::App& command, DataFlags& flags) {
  command
      .add_option("--text-column,--text", flags.text,
                  "Column of the text: its name, or its number from 1")
      ->group(kGroup)
      ->type_name("COLUMN");
  command
      .add_option("--pair-column,--text-pair", flags.pair,
                  "Column of a second text, for sentence pairs")
      ->group(kGroup)
      ->type_name("COLUMN");
  command.add_option("--label-column,--label", flags.label, "Column of the label, or labels")
      ->group(kGroup)
      ->type_name("COLUMN");
  command
      .add_option("--labels", flags.labels,
                  "Columns of 0 and 1, one for each label of which a row may have several: A,B,C")
      ->group(kGroup)
      ->type_name("COLUMNS");
  command
      .add_option("--label-separator", flags.label_separator,
                  "What separates several labels in a cell, such as ';'; an empty cell has none")
      ->group(kGroup)
      ->type_name("TEXT");
  command
      .add_flag("--multi-label", flags.multi_label,
                "A row may have several labels, or none (JSON lists and fastText's lines)")
      ->group(kGroup);
  command
      .add_flag("--regression", flags.regression, "The label is a number, to be predicted as one")
      ->group(kGroup);
  command
      .add_option("--delimiter", flags.delimiter,
                  "What separates columns: one character, or tab, comma, semicolon, pipe")
      ->group(kGroup)
      ->type_name("CHAR");
  command
      .add_option("--input-format", flags.format,
                  "auto, csv, tsv, jsonl, fasttext or text (one a line)")
      ->group(kGroup)
      ->type_name("FORMAT");
  auto* header = command.add_flag("--header", flags.header, "The first row names the columns");
  auto* none = command.add_flag("--no-header", flags.no_header, "The first row is a row");
  header->group(kGroup);
  none->group(kGroup)->excludes(header);
  command
      .add_flag("--skip-bad", flags.skip_bad,
                "Leave out rows that cannot be used, and say how many; without it they are errors")
      ->group(kGroup);
}

Result<data::DatasetOptions> ToDatasetOptions(const DataFlags& flags) {
  data::DatasetOptions options;
  options.table.text_column = flags.text;
  options.table.pair_column = flags.pair;
  options.table.label_column = flags.label;
  options.skip_bad = flags.skip_bad;
  if (flags.header || flags.no_header) options.table.has_header = flags.header;
  BERTIE_ASSIGN_OR_RETURN(options.table.format, ParseFormat(flags.format));
  BERTIE_RETURN_IF_ERROR(TakeLabelFlags(flags, options.table));
  const std::string delimiter = ByName(flags.delimiter);
  if (delimiter.size() == 1 && std::string("\"\r\n").find(delimiter) == std::string::npos) {
    options.table.delimiter = delimiter.front();
  } else if (!delimiter.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "--delimiter is " + Quote(flags.delimiter) +
                     "; expected one character that is no quote, or tab, comma, semicolon, pipe"};
  }
  return options;
}

Status ReadAsModelAnswers(const model::Config& config, const std::string& model,
                          data::DatasetOptions& options) {
  const ProblemType problem = model::ProblemOf(config);
  if (options.table.problem.value_or(problem) != problem) {
    return Error{ErrorCode::kInvalidArgument, model + " is for " + ProblemTypeName(problem) +
                                                  "; the flags ask for " +
                                                  ProblemTypeName(*options.table.problem)};
  }
  if (problem == ProblemType::kRegression && config.num_labels() != 1) {
    return Error{ErrorCode::kUnsupported, model + ": its regression has " +
                                              std::to_string(config.num_labels()) +
                                              " numbers; expected one"};
  }
  options.table.problem = problem;
  options.labels =
      serve::MakeLabelScheme(config.labels, config.num_labels(), config.problem_type).labels;
  return {};
}

}  // namespace bertie::cli
