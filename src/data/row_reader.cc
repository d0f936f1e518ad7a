#include "data/row_reader.h"

#include <algorithm>
#include <utility>

#include "base/quote.h"
#include "data/block_reader.h"
#include "data/columns.h"
#include "data/json_line.h"
#include "data/label_form.h"
#include "data/label_text.h"
#include "data/row_labels.h"
#include "data/sniff.h"
#include "formats/csv.h"
#include "text/unicode.h"

namespace bertie::data {
namespace {

// Of a line of plain text; the csv reader has the same limit for a field.
constexpr size_t kMaxText = size_t{1} << 20;

}  // namespace

const char* TableFormatName(TableFormat format) {
  switch (format) {
    case TableFormat::kAuto:
      return "unknown";
    case TableFormat::kCsv:
      return "csv";
    case TableFormat::kTsv:
      return "tsv";
    case TableFormat::kJsonl:
      return "jsonl";
    case TableFormat::kFastText:
      return "fasttext";
    case TableFormat::kText:
      return "text";
  }
  return "unknown";
}

struct RowReader::Impl {
  Impl(BlockReader reader, const TableOptions& table_options)
      : input(std::move(reader)), options(table_options) {}

  bool by_lines() const {
    return report.format == TableFormat::kJsonl || report.format == TableFormat::kFastText ||
           report.format == TableFormat::kText;
  }
  RecordEnds ends() const {
    return {.quoted = !by_lines() && report.quoted, .delimiter = report.delimiter};
  }
  Error RowError(int64_t line, const std::string& what) const {
    return {ErrorCode::kInvalidData, report.source + ":" + std::to_string(line) + ": " + what};
  }
  Error TooLong(int64_t line, const std::string& what, size_t bytes) const {
    return {ErrorCode::kResourceExhausted,
            report.source + ":" + std::to_string(line) + ": found a " + what + " of " +
                std::to_string(bytes) + " bytes; expected at most " + std::to_string(kMaxText)};
  }
  // An error of one row, with its place.
  Status At(int64_t line, const Status& status) const {
    return status.ok() ? status : Status(RowError(line, status.error().message));
  }
  std::string Name(int column, const char* what) const { return NameColumn(report, column, what); }

  Status Prepare();
  Status ResolveTable(std::string_view beginning);
  // Makes the next block current; false at the end of the input.
  Result<bool> NextBlock();
  bool StartBlock(std::string_view bytes);
  bool BlockUsedUp() const { return by_lines() ? lines_left.empty() : csv_used_up; }
  Result<bool> NextRecord(Row& row);
  Result<bool> NextLine(Row& row);
  Status TakeFields(std::vector<std::string>& fields, Row& row) const;
  Status TakeObject(std::string_view line, Row& row) const;
  Status TakeFastText(std::string_view line, Row& row) const;
  Status Finish(Row& row) const;

  BlockReader input;
  TableOptions options;
  TableReport report;
  bool header_to_skip = false;
  int64_t next_line = 1;  // the number of the first line behind the current block

  std::string block;  // only for csv: its reader needs the bytes to stay
  std::optional<formats::CsvReader> csv;
  bool csv_used_up = true;
  std::string_view lines_left;  // by lines: what is left of the current block
  int64_t first_line = 1;       // the number of its first line
  bool in_line = false;         // the current block ends within a line too long to be one
};

Status RowReader::Impl::Prepare() {
  report.source = input.name();
  if (options.format == TableFormat::kText) {
    // Nothing to find out, and whoever types the lines waits for answers.
    report.format = TableFormat::kText;
    report.columns = {"text"};
    report.text_column = 0;
    BERTIE_RETURN_IF_ERROR(input.Fill(3));
  } else {
    BERTIE_RETURN_IF_ERROR(input.Fill(BlockReader::kBlock));
    std::string_view beginning = input.pending();
    if (beginning.empty()) return Error{ErrorCode::kInvalidData, report.source + ": is empty"};
    // A last line cut by the block's end would look like a bad row.
    if (const size_t last = beginning.rfind('\n'); !input.at_end() && last + 1 > 0) {
      beginning = beginning.substr(0, last + 1);
    }
    BERTIE_RETURN_IF_ERROR(SniffForm(beginning, options, report));
    if (beginning.starts_with("\xef\xbb\xbf")) beginning.remove_prefix(3);
    BERTIE_RETURN_IF_ERROR(report.format == TableFormat::kFastText
                               ? ResolveFastText(beginning, options, report)
                               : ResolveTable(beginning));
  }
  if (input.pending().starts_with("\xef\xbb\xbf")) input.Skip(3);
  return {};
}

Status RowReader::Impl::ResolveTable(std::string_view beginning) {
  TableOptions how = options;
  if (report.format == TableFormat::kJsonl) how.has_header = true;
  BERTIE_RETURN_IF_ERROR(ResolveColumns(ReadSample(beginning, report, kSampleRows), how, report));
  header_to_skip = report.has_header && report.format != TableFormat::kJsonl;
  return ResolveProblem(beginning, options, report);
}

Result<bool> RowReader::Impl::NextBlock() {
  for (;;) {
    BERTIE_ASSIGN_OR_RETURN(std::string_view bytes, input.Next(ends()));
    if (bytes.empty()) return false;
    first_line = next_line;
    next_line += by_lines() ? std::count(bytes.begin(), bytes.end(), '\n') : CountLineEnds(bytes);
    const bool rest = in_line;
    in_line = !bytes.ends_with('\n') && !input.at_end();
    if (rest) {
      // The line's beginning was already refused for its length.
      const size_t end = bytes.find('\n');
      bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
      ++first_line;
    }
    if (!bytes.empty()) return StartBlock(bytes);
  }
}

bool RowReader::Impl::StartBlock(std::string_view bytes) {
  if (by_lines()) {
    lines_left = bytes;
    return true;
  }
  block.assign(bytes);
  csv.emplace(block, report.source,
              formats::CsvOptions{.delimiter = report.delimiter,
                                  .quoting = report.quoted ? formats::CsvQuoting::kRfc4180
                                                           : formats::CsvQuoting::kNone,
                                  .first_line = first_line});
  csv_used_up = false;
  return true;
}

Result<bool> RowReader::Impl::NextRecord(Row& row) {
  formats::CsvRecord record;
  for (;;) {
    if (csv_used_up) {
      BERTIE_ASSIGN_OR_RETURN(const bool more, NextBlock());
      if (!more) return false;
    }
    BERTIE_ASSIGN_OR_RETURN(const bool found, csv->Next(record));
    if (!found) {
      csv_used_up = true;
    } else if (header_to_skip) {
      header_to_skip = false;
    } else {
      row.line = record.line;
      BERTIE_RETURN_IF_ERROR(TakeFields(record.fields, row));
      return true;
    }
  }
}

Result<bool> RowReader::Impl::NextLine(Row& row) {
  for (;;) {
    if (lines_left.empty()) {
      BERTIE_ASSIGN_OR_RETURN(const bool more, NextBlock());
      if (!more) return false;
    }
    const size_t end = std::min(lines_left.find('\n'), lines_left.size());
    std::string_view text = lines_left.substr(0, end);
    lines_left.remove_prefix(std::min(end + 1, lines_left.size()));
    if (text.ends_with('\r')) text.remove_suffix(1);
    row.line = first_line++;
    row.pair.reset();
    row.label.reset();
    row.labels.clear();
    if (report.format != TableFormat::kText && WithoutBlanks(text).empty()) continue;
    if (report.format == TableFormat::kJsonl) {
      BERTIE_RETURN_IF_ERROR(TakeObject(text, row));
      return true;
    }
    if (text.size() > kMaxText) return TooLong(row.line, "line", text.size());
    if (const size_t valid = text::ValidUtf8Prefix(text); valid < text.size()) {
      return RowError(row.line, "byte " + std::to_string(valid + 1) +
                                    " of the line is not UTF-8: " + Quote(text.substr(valid), 8));
    }
    row.text = text;
    if (report.format == TableFormat::kFastText) BERTIE_RETURN_IF_ERROR(TakeFastText(text, row));
    return true;
  }
}

Status RowReader::Impl::TakeFields(std::vector<std::string>& fields, Row& row) const {
  if (fields.size() != report.columns.size()) {
    return RowError(row.line, "found " + std::to_string(fields.size()) + " columns; expected " +
                                  std::to_string(report.columns.size()) + " as in the first row");
  }
  const auto cell = [&](int column) -> Result<std::optional<std::string>> {
    return std::optional(fields[static_cast<size_t>(column)]);
  };
  BERTIE_RETURN_IF_ERROR(At(row.line, TakeLabels(report, options, cell, row)));
  row.pair.reset();
  if (report.pair_column >= 0) {
    row.pair = std::move(fields[static_cast<size_t>(report.pair_column)]);
  }
  row.text = std::move(fields[static_cast<size_t>(report.text_column)]);
  return Finish(row);
}

Status RowReader::Impl::TakeObject(std::string_view text, Row& row) const {
  BERTIE_ASSIGN_OR_RETURN(const formats::Json object, ParseJsonLine(text, report.source, row.line));
  const auto field = [&](int column) -> Result<std::optional<std::string>> {
    if (column < 0) return std::optional<std::string>();
    auto value = JsonField(object, report.columns[static_cast<size_t>(column)]);
    if (!value.ok()) return RowError(row.line, value.error().message);
    return value;
  };
  BERTIE_ASSIGN_OR_RETURN(std::optional<std::string> main, field(report.text_column));
  BERTIE_ASSIGN_OR_RETURN(row.pair, field(report.pair_column));
  BERTIE_RETURN_IF_ERROR(At(row.line, TakeJsonLabels(report, options, object, row)));
  if (!main) return RowError(row.line, "found no " + Name(report.text_column, "text"));
  row.text = std::move(*main);
  return Finish(row);
}

Status RowReader::Impl::TakeFastText(std::string_view line, Row& row) const {
  FastTextLine found = SplitFastText(line);
  row.text = std::string(found.text);
  BERTIE_RETURN_IF_ERROR(
      At(row.line, TakeMarkedLabels(report, options, std::move(found.labels), row)));
  return Finish(row);
}

// What holds for every format: with need_label a row has a text.
Status RowReader::Impl::Finish(Row& row) const {
  if (report.pair_column >= 0 &&
      (!row.pair || (options.need_label && WithoutBlanks(*row.pair).empty()))) {
    return RowError(row.line, Name(report.pair_column, "the second text") + " is empty");
  }
  for (const std::string* text : {&row.text, row.pair ? &*row.pair : &row.text}) {
    if (text->size() > kMaxText) return TooLong(row.line, "text", text->size());
    // JSON can spell it; csv, in which splits are written, cannot.
    if (text->find('\0') != std::string::npos) return RowError(row.line, "holds a NUL character");
  }
  if (!options.need_label) return {};
  if (WithoutBlanks(row.text).empty()) {
    return RowError(row.line, Name(report.text_column, "the text") + " is empty");
  }
  return {};
}

Result<RowReader> RowReader::Open(const std::string& source, const TableOptions& options) {
  BERTIE_ASSIGN_OR_RETURN(BlockReader input, BlockReader::Open(source));
  auto impl = std::make_unique<Impl>(std::move(input), options);
  BERTIE_RETURN_IF_ERROR(impl->Prepare());
  return RowReader(std::move(impl));
}

RowReader::RowReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RowReader::RowReader(RowReader&&) noexcept = default;
RowReader& RowReader::operator=(RowReader&&) noexcept = default;
RowReader::~RowReader() = default;

const TableReport& RowReader::report() const { return impl_->report; }

Result<bool> RowReader::Next(Row& row) {
  return impl_->by_lines() ? impl_->NextLine(row) : impl_->NextRecord(row);
}

bool RowReader::HasBuffered() const {
  return !impl_->BlockUsedUp() || impl_->input.HasWholeRecords(impl_->ends());
}

}  // namespace bertie::data
