// The sizes that Amazon Elastic Inference had, as shares of an accelerator.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace bertie::accelerator {

inline constexpr uint64_t kGigabyte = uint64_t{1} << 30;

// An endpoint may use this much memory for its model, and its share of computing time is in
// proportion to its units: one is what a medium has (1 TFLOPS of fp32 in the original).
struct Size {
  std::string_view name;  // "eia2.medium"
  uint64_t memory_bytes = 0;
  double units = 0;
};

// eia1 and eia2, medium to xlarge, with or without "ml." before. kInvalidArgument names all.
Result<Size> FindSize(std::string_view name);

// "8 GB", "0.44 GB": what a message says of bytes.
std::string FormatGigabytes(uint64_t bytes);

// "4", "0.5": what a message says of units of compute.
std::string FormatUnits(double units);

// What an accelerator has to give.
struct Capacity {
  std::string name;  // "eia2.xlarge", or "" where threads, memory and units were given
  int threads = 1;
  uint64_t memory_bytes = 0;
  double units = 0;
};

}  // namespace bertie::accelerator
