// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace bertie {

// Fixed-point: FormatFixed(0.51234, 4) is "0.5123".
std::string FormatFixed(double value, int digits);
// 1234567 as "1,234,567".
std::string FormatCount(int64_t count);

// What a piece of work took: "0.52 s".
std::string FormatSeconds(double seconds);
// Of 10^6 bytes: "0.4 MB", "91 MB", "1,340 MB".
std::string FormatMegabytes(int64_t bytes);

}  // namespace bertie
