#include "cli/table.h"

#include <algorithm>

#include "text/unicode.h"

namespace bertie::cli {
namespace {

// Columns of a terminal that a character takes: wide East Asian characters and emoji two,
// combining marks none. The usual ranges, not every exception: a table may be off by one there.
size_t CharacterWidth(char32_t c) {
  if (c >= 0x300 && c <= 0x36f) return 0;
  if (c == 0x200b || c == 0x200d || (c >= 0xfe00 && c <= 0xfe0f)) return 0;
  const bool wide = (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
                    (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
                    (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
                    (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
                    (c >= 0x20000 && c <= 0x3fffd);
  return wide ? 2 : 1;
}

void TrimRight(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

}  // namespace

size_t DisplayWidth(const std::string& text) {
  const std::string valid = text::ReplaceInvalidUtf8(text);
  size_t width = 0;
  for (const char *p = valid.data(), *end = p + valid.size(); p < end;) {
    width += CharacterWidth(text::NextChar(p));
  }
  return width;
}

std::string OneLine(const std::string& text, size_t width) {
  const std::string valid = text::ReplaceInvalidUtf8(text);
  std::string line;
  size_t used = 0;
  size_t room_for_dots = 0;  // bytes of `line` after which "..." still fits
  for (const char *p = valid.data(), *end = p + valid.size(); p < end;) {
    const char* begin = p;
    const char32_t c = text::NextChar(p);
    // C0 and C1 controls would move the cursor or worse.
    const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    const size_t columns = control ? 1 : CharacterWidth(c);
    if (used + columns > width) return line.substr(0, room_for_dots) + "...";
    line += control ? std::string(" ") : std::string(begin, p);
    used += columns;
    if (used + 3 <= width) room_for_dots = line.size();
  }
  return line;
}

Table::Table(std::vector<std::string> header) : header_(std::move(header)) {}

Table& Table::AlignRight(std::vector<size_t> columns) {
  right_ = std::move(columns);
  return *this;
}

Table& Table::Indent(size_t blanks) {
  indent_ = blanks;
  return *this;
}

void Table::Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

std::string Table::ToString() const {
  std::vector<size_t> widths;
  const auto measure = [&](const std::vector<std::string>& row) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  };
  measure(header_);
  for (const auto& row : rows_) measure(row);

  std::string out;
  const auto print = [&](const std::vector<std::string>& row) {
    std::string line(indent_, ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      const std::string blanks(widths[i] - DisplayWidth(row[i]), ' ');
      const bool right = std::find(right_.begin(), right_.end(), i) != right_.end();
      line += right ? blanks + row[i] : row[i] + blanks;
    }
    TrimRight(line);
    out += line + "\n";
  };
  if (!header_.empty()) {
    print(header_);
    std::vector<std::string> rule;
    for (size_t width : widths) rule.emplace_back(width, '-');
    print(rule);
  }
  for (const auto& row : rows_) print(row);
  return out;
}

}  // namespace bertie::cli
