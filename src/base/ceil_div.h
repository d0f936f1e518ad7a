// Whole division that rounds up.
#pragma once

#include <cstdint>

namespace bertie {

// For a >= 0 and b > 0.
constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace bertie
