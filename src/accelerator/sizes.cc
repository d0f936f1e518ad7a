#include "accelerator/sizes.h"

#include <array>
#include <cstdio>

#include "base/quote.h"

namespace bertie::accelerator {
namespace {

constexpr std::array<Size, 6> kSizes = {{
    {"eia1.medium", 1 * kGigabyte, 1},
    {"eia1.large", 2 * kGigabyte, 2},
    {"eia1.xlarge", 4 * kGigabyte, 4},
    {"eia2.medium", 2 * kGigabyte, 1},
    {"eia2.large", 4 * kGigabyte, 2},
    {"eia2.xlarge", 8 * kGigabyte, 4},
}};

}  // namespace

Result<Size> FindSize(std::string_view name) {
  std::string_view plain = name;
  if (plain.starts_with("ml.")) plain.remove_prefix(3);
  std::string names;
  for (const Size& size : kSizes) {
    if (size.name == plain) return size;
    names += (names.empty() ? "ml." : ", ml.") + std::string(size.name);
  }
  return Error{ErrorCode::kInvalidArgument,
               "found the accelerator type " + Quote(name) + "; expected one of " + names};
}

std::string FormatGigabytes(uint64_t bytes) {
  char text[32];
  const double value = static_cast<double>(bytes) / static_cast<double>(kGigabyte);
  // Two digits, and never a size that looks smaller than a limit it is over.
  std::snprintf(text, sizeof(text), bytes % kGigabyte == 0 ? "%.0f GB" : "%.2f GB", value);
  return text;
}

std::string FormatUnits(double units) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", units);
  return text;
}

}  // namespace bertie::accelerator
