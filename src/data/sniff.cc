#include "data/sniff.h"

#include <algorithm>
#include <map>

#include "base/ascii.h"
#include "data/json_line.h"
#include "data/label_text.h"
#include "formats/csv.h"

namespace bertie::data {
namespace {

constexpr size_t kSniffedRows = 200;

// How the rows come out under one way to read them.
struct Shape {
  size_t rows = 0;
  size_t bad_rows = 0;
  size_t columns = 0;          // the most frequent number of fields
  size_t regular_rows = 0;     // rows with that many
  bool doubled_quote = false;  // a field "...""..."
  bool all_quoted = true;      // every field is "..."

  bool regular() const { return bad_rows == 0 && regular_rows == rows; }
};

// Whether a field read with plain quotes looks like one written with RFC 4180's: "...", each quote
// inside doubled. found_doubled is set where there is one.
bool LooksQuoted(std::string_view field, bool& found_doubled) {
  if (field.size() < 2 || field.front() != '"' || field.back() != '"') return false;
  const std::string_view inner = field.substr(1, field.size() - 2);
  bool doubled = false;
  for (size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] != '"') continue;
    if (i + 1 == inner.size() || inner[i + 1] != '"') return false;
    doubled = true;
    ++i;
  }
  found_doubled |= doubled;
  return true;
}

Shape Measure(std::string_view text, char delimiter, formats::CsvQuoting quoting) {
  formats::CsvReader reader(text, "", {.delimiter = delimiter, .quoting = quoting});
  formats::CsvRecord record;
  Shape shape;
  std::map<size_t, size_t> frequency;
  while (shape.rows < kSniffedRows) {
    Result<bool> more = reader.Next(record);
    if (more.ok() && !*more) break;
    ++shape.rows;
    if (!more.ok()) {
      ++shape.bad_rows;
      continue;
    }
    ++frequency[record.fields.size()];
    for (const std::string& field : record.fields) {
      shape.all_quoted &= LooksQuoted(field, shape.doubled_quote);
    }
  }
  for (auto [columns, rows] : frequency) {
    if (rows > shape.regular_rows) {
      shape.columns = columns;
      shape.regular_rows = rows;
    }
  }
  return shape;
}

// The delimiter that cuts most rows into the same number of columns, two at least.
char SniffDelimiter(std::string_view beginning, std::string_view candidates) {
  char best = candidates.front();
  double best_share = 0;
  for (char candidate : candidates) {
    const Shape shape = Measure(beginning, candidate, formats::CsvQuoting::kRfc4180);
    if (shape.columns < 2 || shape.rows == 0) continue;
    const double share = static_cast<double>(shape.regular_rows) / static_cast<double>(shape.rows);
    if (share > best_share) {
      best = candidate;
      best_share = share;
    }
  }
  return best;
}

// Whether a file with tabs follows RFC 4180 (pandas writes so) or has quotes as plain characters
// (CoLA, GLUE). A lone "..." is not enough to tell: sentences can be quotations.
bool SniffTabQuoting(std::string_view beginning) {
  const Shape quoted = Measure(beginning, '\t', formats::CsvQuoting::kRfc4180);
  if (!quoted.regular()) return false;
  const Shape plain = Measure(beginning, '\t', formats::CsvQuoting::kNone);
  return !plain.regular() || plain.doubled_quote || plain.all_quoted;
}

TableFormat FormatByName(std::string source) {
  if (source.ends_with(".gz")) source.resize(source.size() - 3);
  const size_t dot = source.rfind('.');
  if (dot == std::string::npos) return TableFormat::kAuto;
  const std::string extension = AsciiLower(source.substr(dot + 1));
  if (extension == "csv") return TableFormat::kCsv;
  if (extension == "tsv" || extension == "tab") return TableFormat::kTsv;
  if (extension == "jsonl" || extension == "ndjson" || extension == "json") {
    return TableFormat::kJsonl;
  }
  return TableFormat::kAuto;
}

// The first character that is not a blank, or 0.
char FirstCharacter(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? '\0' : text[first];
}

}  // namespace

Status SniffForm(std::string_view beginning, const TableOptions& options, TableReport& report) {
  if (beginning.starts_with("\xff\xfe") || beginning.starts_with("\xfe\xff")) {
    return Error{ErrorCode::kInvalidData,
                 report.source +
                     ":1: found UTF-16 (by its byte order mark); expected UTF-8. "
                     "Convert it: iconv -f utf-16 -t utf-8 FILE > NEW"};
  }
  if (beginning.starts_with("\xef\xbb\xbf")) beginning.remove_prefix(3);
  report.format = options.format;
  if (report.format == TableFormat::kAuto) {
    report.format = options.delimiter ? TableFormat::kCsv : FormatByName(report.source);
  }
  const bool unknown = report.format == TableFormat::kAuto;
  if (unknown && FirstCharacter(beginning) == '{') report.format = TableFormat::kJsonl;
  if (unknown && beginning.starts_with(kFastTextMark)) report.format = TableFormat::kFastText;
  if (report.format == TableFormat::kText || report.format == TableFormat::kFastText) return {};
  if (report.format == TableFormat::kJsonl) {
    if (FirstCharacter(beginning) != '[') return {};
    return Error{ErrorCode::kInvalidData,
                 report.source +
                     ":1: found a JSON array; expected JSON lines, one object a line. "
                     "Convert it: jq -c '.[]' FILE > NEW"};
  }
  if (options.delimiter) {
    report.delimiter = *options.delimiter;
  } else if (report.format == TableFormat::kTsv) {
    report.delimiter = '\t';
  } else {
    report.delimiter = SniffDelimiter(beginning, unknown ? "\t,;|" : ",;\t|");
  }
  const bool tabs = report.delimiter == '\t';
  if (unknown || (tabs && options.format == TableFormat::kAuto)) {
    report.format = tabs ? TableFormat::kTsv : TableFormat::kCsv;
  }
  report.quoted = !tabs || SniffTabQuoting(beginning);
  return {};
}

Sample ReadSample(std::string_view beginning, const TableReport& report, size_t max_rows) {
  Sample sample;
  if (report.format == TableFormat::kJsonl) return SampleJsonLines(beginning, max_rows);
  if (report.format == TableFormat::kText) return sample;
  formats::CsvReader reader(
      beginning, "",
      {.delimiter = report.delimiter,
       .quoting = report.quoted ? formats::CsvQuoting::kRfc4180 : formats::CsvQuoting::kNone});
  formats::CsvRecord record;
  while (sample.size() < max_rows) {
    Result<bool> more = reader.Next(record);
    if (more.ok() && !*more) break;
    if (more.ok()) sample.push_back(record.fields);
  }
  return sample;
}

}  // namespace bertie::data
