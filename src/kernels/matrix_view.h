// A matrix in somebody else's memory.
#pragma once

#include <cstdint>

namespace bertie::kernels {

// Element (i, j) is data[i * row_stride + j * column_stride].
struct MatrixView {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 1;

  MatrixView Transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

// The same over bits of bfloat16.
struct BF16View {
  const uint16_t* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 1;

  BF16View Transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

inline MatrixView RowMajor(const float* data, int64_t rows, int64_t columns) {
  return {data, rows, columns, columns, 1};
}

}  // namespace bertie::kernels
