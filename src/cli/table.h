// Tables for people.
#pragma once

#include <string>
#include <vector>

namespace bertie::cli {

// Rows of text in columns as wide as their widest cell, two blanks apart, no trailing blanks. The
// header, when there is one, is underlined. Rows may be of different lengths.
class Table {
 public:
  explicit Table(std::vector<std::string> header = {});

  // Columns hold text (left) unless they are named here, from 0.
  Table& AlignRight(std::vector<size_t> columns);
  // Blanks before each line.
  Table& Indent(size_t blanks);
  void Add(std::vector<std::string> row);
  size_t rows() const { return rows_.size(); }

  // Lines, each with its end.
  std::string ToString() const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<size_t> right_;
  size_t indent_ = 0;
};

// Text for one line: control characters as blanks; cut to `width` characters with "..." at the end.
// Invalid UTF-8 becomes U+FFFD.
std::string OneLine(const std::string& text, size_t width);

// Columns that a terminal takes for the text.
size_t DisplayWidth(const std::string& text);

}  // namespace bertie::cli
