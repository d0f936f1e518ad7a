// Comma-, tab- or otherwise separated values, in and out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace bertie::formats {

enum class CsvQuoting {
  // RFC 4180: a field that begins with " ends at the next lone ", may hold delimiters and line
  // ends,
  // and writes " as "". A " further inside an unquoted field stands for itself.
  kRfc4180,
  // Quotes mean nothing; one line is one record (CoLA's and GLUE's tsv files).
  kNone,
};

struct CsvOptions {
  char delimiter = ',';
  CsvQuoting quoting = CsvQuoting::kRfc4180;
  size_t max_field_bytes = size_t{1} << 20;
  size_t max_fields = 4096;
  // Of the text's first line, where it is a later part of a file.
  int64_t first_line = 1;
};

struct CsvRecord {
  std::vector<std::string> fields;
  int64_t line = 0;  // where it begins, from 1
};

// Reads records one after another. Lines end with LF, CRLF or a lone CR; the last may lack its end.
// A byte order mark at the very beginning and lines without a single character are skipped.
class CsvReader {
 public:
  // text must outlive the reader. Messages begin with "WHERE:LINE: ".
  CsvReader(std::string_view text, std::string where, CsvOptions options = {});

  // Fills record and returns true; false at the end. Errors: a quoted field that never ends,
  // characters after a closing quote, a NUL byte, invalid UTF-8 (kInvalidData); a field or a number
  // of fields over its limit (kResourceExhausted). After an error the next call goes on with the
  // line after the bad record, so that a caller may skip and count bad rows.
  Result<bool> Next(CsvRecord& record);

 private:
  Error Fail(ErrorCode code, int64_t line, const std::string& what);
  Status ReadQuoted(std::string& field);
  Status ReadPlain(std::string& field);
  bool AtLineEnd() const;
  void SkipLineEnd();
  void SkipLine();

  std::string_view text_;
  std::string where_;
  CsvOptions options_;
  size_t pos_ = 0;
  int64_t line_ = options_.first_line;
};

// Appends one record and LF to out. Fields are quoted where RFC 4180 needs it, and a single empty
// field always, since a blank line would be no record. With kNone, a field that holds the
// delimiter or a line end is refused (kInvalidArgument) and out is unchanged.
Status AppendCsvRecord(std::span<const std::string> fields, std::string& out,
                       const CsvOptions& options = {});

}  // namespace bertie::formats
