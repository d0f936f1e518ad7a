// A matrix in somebody else's memory.
#pragma once

#include <cstdint>

namespace bertie::kernels {

// Element (i, j) is data[i * row_stride + j * column_stride].
template <class T>
struct StridedView {
  const T* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 1;

  StridedView Transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

using MatrixView = StridedView<float>;
using BF16View = StridedView<uint16_t>;  // bits of bfloat16

inline MatrixView RowMajor(const float* data, int64_t rows, int64_t columns) {
  return {data, rows, columns, columns, 1};
}

}  // namespace bertie::kernels
