#include "formats/csv.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/quote.h"

namespace bertie::formats {
namespace {

bool IsLineEnd(char c) { return c == '\n' || c == '\r'; }

// The bytes of one well-formed UTF-8 character at the beginning of text, or 0 (Unicode, table 3-7).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  // The second byte's range shuts out overlong forms, surrogates and what lies beyond U+10FFFF.
  const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

CsvReader::CsvReader(std::string_view text, std::string where, CsvOptions options)
    : text_(text), where_(std::move(where)), options_(options) {
  if (text_.starts_with("\xef\xbb\xbf")) pos_ = 3;
}

bool CsvReader::AtLineEnd() const { return pos_ >= text_.size() || IsLineEnd(text_[pos_]); }

void CsvReader::SkipLineEnd() {
  if (pos_ >= text_.size()) return;
  pos_ += text_.substr(pos_).starts_with("\r\n") ? 2 : 1;
  ++line_;
}

void CsvReader::SkipLine() {
  while (!AtLineEnd()) ++pos_;
  SkipLineEnd();
}

Error CsvReader::Fail(ErrorCode code, int64_t line, const std::string& what) {
  SkipLine();
  return {code, where_ + ":" + std::to_string(line) + ": " + what};
}

Status CsvReader::ReadQuoted(std::string& field) {
  const int64_t begin = line_;
  const size_t begin_pos = pos_;
  // A stray quote must not swallow the good rows behind it: the reader goes on after its line.
  const auto rewind = [&] {
    pos_ = begin_pos;
    line_ = begin;
  };
  ++pos_;
  for (;;) {
    if (pos_ >= text_.size()) {
      rewind();
      return Fail(ErrorCode::kInvalidData, begin, "a quoted field begins here and never ends");
    }
    if (field.size() > options_.max_field_bytes) {
      rewind();
      return Fail(ErrorCode::kResourceExhausted, begin,
                  "a quoted field that begins here is longer than " +
                      std::to_string(options_.max_field_bytes) + " bytes");
    }
    const char c = text_[pos_];
    if (c == '"') {
      if (!text_.substr(pos_).starts_with("\"\"")) break;
      ++pos_;
    } else if (c == '\n' || (c == '\r' && !text_.substr(pos_).starts_with("\r\n"))) {
      ++line_;
    }
    field += c;
    ++pos_;
  }
  ++pos_;
  if (AtLineEnd() || text_[pos_] == options_.delimiter) return {};
  return Fail(ErrorCode::kInvalidData, line_,
              "found " + Quote(text_.substr(pos_, 1)) +
                  " after a closing quote, expected the delimiter or the line's end");
}

Status CsvReader::ReadPlain(std::string& field) {
  const char stops[] = {options_.delimiter, '\n', '\r'};
  const size_t end =
      std::min(text_.find_first_of(std::string_view(stops, sizeof(stops)), pos_), text_.size());
  if (end - pos_ > options_.max_field_bytes) {
    return Fail(ErrorCode::kResourceExhausted, line_,
                "a field of " + std::to_string(end - pos_) + " bytes, over the limit of " +
                    std::to_string(options_.max_field_bytes));
  }
  field = text_.substr(pos_, end - pos_);
  pos_ = end;
  return {};
}

Result<bool> CsvReader::Next(CsvRecord& record) {
  while (pos_ < text_.size() && AtLineEnd()) SkipLineEnd();
  record.fields.clear();
  record.line = line_;
  if (pos_ >= text_.size()) return false;
  for (;;) {
    if (record.fields.size() == options_.max_fields) {
      return Fail(ErrorCode::kResourceExhausted, line_,
                  "more than " + std::to_string(options_.max_fields) + " fields");
    }
    std::string field;
    const bool quoted =
        options_.quoting == CsvQuoting::kRfc4180 && !AtLineEnd() && text_[pos_] == '"';
    BERTIE_RETURN_IF_ERROR(quoted ? ReadQuoted(field) : ReadPlain(field));
    record.fields.push_back(std::move(field));
    if (AtLineEnd()) break;
    ++pos_;
  }
  for (size_t i = 0; i < record.fields.size(); ++i) {
    const std::string& field = record.fields[i];
    const bool nul = field.find('\0') != std::string::npos;
    if (!nul && IsUtf8(field)) continue;
    return Fail(ErrorCode::kInvalidData, record.line,
                "field " + std::to_string(i + 1) + ": " +
                    (nul ? "holds a NUL byte" : "is not valid UTF-8: " + Quote(field)));
  }
  SkipLineEnd();
  return true;
}

Status AppendCsvRecord(std::span<const std::string> fields, std::string& out,
                       const CsvOptions& options) {
  const bool quoting = options.quoting == CsvQuoting::kRfc4180;
  const size_t undo = out.size();
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += options.delimiter;
    const std::string& field = fields[i];
    const char special[] = {options.delimiter, '\n', '\r', '"'};
    const bool plain =
        field.find_first_of(std::string_view(special, quoting ? 4 : 3)) == std::string::npos;
    if (plain && !(field.empty() && fields.size() == 1)) {
      out += field;
      continue;
    }
    if (!quoting) {
      out.resize(undo);
      return Error{
          ErrorCode::kInvalidArgument,
          "field " + std::to_string(i + 1) + ": cannot be written without quotes: " + Quote(field)};
    }
    out += '"';
    for (const char c : field) {
      if (c == '"') out += '"';
      out += c;
    }
    out += '"';
  }
  out += '\n';
  return {};
}

}  // namespace bertie::formats
