// A product of rows made ready for their instructions with packed weights of the same kind.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul.h"

namespace bertie::kernels {

template <class Rows>
struct PackedJob {
  Rows a;
  int64_t depth = 0;
  const std::byte* b = nullptr;  // PackedMatrix::bytes()
  int64_t columns = 0;
  float* c = nullptr;
  int64_t c_stride = 0;
  MatMulOptions options;  // without accumulate
};

}  // namespace bertie::kernels
