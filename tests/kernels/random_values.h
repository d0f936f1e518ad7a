// Seeded values for the kernels' tests.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace bertie::kernels {

// Uniform in [-1, 1).
inline std::vector<float> RandomValues(int64_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (auto& value : values) {
    value = static_cast<float>(generator() >> 8) * 0x1p-23f - 1.0f;
  }
  return values;
}

}  // namespace bertie::kernels
