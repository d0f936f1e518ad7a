#include "cli/data_flags.h"

#include "base/quote.h"

namespace bertie::cli {
namespace {

constexpr const char* kGroup = "How to read the data (found out from the file where not given)";

Result<data::TableFormat> ParseFormat(const std::string& name) {
  for (data::TableFormat format : {data::TableFormat::kCsv, data::TableFormat::kTsv,
                                   data::TableFormat::kJsonl, data::TableFormat::kText}) {
    if (name == data::TableFormatName(format)) return format;
  }
  if (name.empty() || name == "auto") return data::TableFormat::kAuto;
  return Error{ErrorCode::kInvalidArgument,
               "--input-format is " + Quote(name) + "; expected auto, csv, tsv, jsonl or text"};
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
  command.add_option("--label-column,--label", flags.label, "Column of the label")
      ->group(kGroup)
      ->type_name("COLUMN");
  command
      .add_option("--delimiter", flags.delimiter,
                  "What separates columns: one character, or tab, comma, semicolon, pipe")
      ->group(kGroup)
      ->type_name("CHAR");
  command.add_option("--input-format", flags.format, "auto, csv, tsv, jsonl or text (one a line)")
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
  const std::string& delimiter = flags.delimiter;
  if (delimiter == "tab" || delimiter == "\\t") {
    options.table.delimiter = '\t';
  } else if (delimiter == "comma") {
    options.table.delimiter = ',';
  } else if (delimiter == "semicolon") {
    options.table.delimiter = ';';
  } else if (delimiter == "pipe") {
    options.table.delimiter = '|';
  } else if (delimiter.size() == 1 && std::string("\"\r\n").find(delimiter) == std::string::npos) {
    options.table.delimiter = delimiter.front();
  } else if (!delimiter.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "--delimiter is " + Quote(delimiter) +
                     "; expected one character that is no quote, or tab, comma, semicolon, pipe"};
  }
  return options;
}

}  // namespace bertie::cli
