// Matrix products in fp32. All matrices are row-major unless strides say otherwise.
//
// With our own kernel, sums along the inner dimension run in one fixed order, so that a row's
// result has the same bits for any number of rows beside it and any number of threads. Products
// with a PackedMatrix (inference) always use it; others may use oneDNN (onednn_matmul.h), whose
// bits depend on the shape and the number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/buffer.h"

namespace bertie::kernels {

// A matrix in somebody else's memory: element (i, j) is data[i * row_stride + j * column_stride].
struct MatrixView {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 1;

  MatrixView Transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

inline MatrixView RowMajor(const float* data, int64_t rows, int64_t columns) {
  return {data, rows, columns, columns, 1};
}

// What is done to each finished element of C = A B.
enum class Epilogue {
  kNone,
  kBias,          // + bias[column]
  kBiasGelu,      // GELU(+ bias[column])
  kBiasResidual,  // + bias[column] + residual[row, column]
};

struct MatMulOptions {
  Epilogue epilogue = Epilogue::kNone;
  const float* bias = nullptr;      // [columns]
  const float* residual = nullptr;  // [rows, columns], stride residual_stride
  int64_t residual_stride = 0;
  bool accumulate = false;  // C += A B; with kNone only
};

// B packed once, to be multiplied many times: panels of a few columns, each [depth][panel width],
// in the order in which the kernel reads them. Its layout belongs to this process's processor.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // b is [depth, columns].
  static PackedMatrix Pack(const MatrixView& b, ThreadPool& pool);

  int64_t depth() const { return depth_; }
  int64_t columns() const { return columns_; }
  const float* data() const { return data_.data(); }

 private:
  int64_t depth_ = 0;
  int64_t columns_ = 0;
  Buffer data_;
};

// Memory that products reuse from call to call. One for each thread that calls MatMul.
struct MatMulScratch {
  Buffer packed_b;
  Buffer packed_a;
};

// c[a.rows, b.columns()] = a b, c_stride floats from row to row.
void MatMul(const MatrixView& a, const PackedMatrix& b, float* c, int64_t c_stride,
            const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool);

// The same with b packed on the fly: for weights that change from step to step.
void MatMul(const MatrixView& a, const MatrixView& b, float* c, int64_t c_stride,
            const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool);

}  // namespace bertie::kernels
