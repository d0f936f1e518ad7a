// Bits of bfloat16: the upper half of a float.
#pragma once

#include <bit>
#include <cstdint>

namespace bertie::kernels {

// Rounds to nearest, ties to even; a NaN stays one.
inline uint16_t ToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace bertie::kernels
