#include "base/figures.h"

#include <cmath>
#include <cstdio>

namespace bertie {

std::string FormatFixed(double value, int digits) {
  char text[400];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string FormatCount(int64_t count) {
  std::string digits = std::to_string(count);
  const size_t sign = digits.front() == '-' ? 1 : 0;
  for (size_t i = digits.size(); i > sign + 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

std::string FormatSeconds(double seconds) { return FormatFixed(seconds, 2) + " s"; }

std::string FormatMegabytes(int64_t bytes) {
  const double megabytes = static_cast<double>(bytes) / 1e6;
  // What would be rounded to 10 has no digit after the point either.
  return (megabytes < 9.95 ? FormatFixed(megabytes, 1) : FormatCount(std::llround(megabytes))) +
         " MB";
}

}  // namespace bertie
