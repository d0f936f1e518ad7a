// Letters of ASCII, whatever the locale; other bytes stay as they are.
#pragma once

#include <algorithm>
#include <string>

namespace bertie {

constexpr char AsciiLower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

inline std::string AsciiLower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return AsciiLower(c); });
  return text;
}

}  // namespace bertie
