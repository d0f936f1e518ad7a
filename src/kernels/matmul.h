// Matrix products that take and give fp32. All matrices are row-major unless strides say otherwise.
//
// With our own kernels, sums along the inner dimension run in one fixed order, so that a row's
// result has the same bits for any number of rows beside it and any number of threads. Products
// with a PackedMatrix (inference) always use it; others may use oneDNN (onednn_matmul.h), whose
// bits depend on the shape and the number of threads.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/matrix_view.h"
#include "kernels/packed_matrix.h"
#include "tensor/buffer.h"

namespace bertie::kernels {

// What is done to each finished element of C = A B.
enum class Epilogue {
  kNone,
  kBias,             // + bias[column]
  kBiasGelu,         // GELU(+ bias[column])
  kBiasGeluRounded,  // the same within 1.2e-4, quicker, for results that are rounded next
  kBiasResidual,     // + bias[column] + residual[row, column]
};

struct MatMulOptions {
  Epilogue epilogue = Epilogue::kNone;
  const float* bias = nullptr;      // [columns]
  const float* residual = nullptr;  // [rows, columns], stride residual_stride
  int64_t residual_stride = 0;
  bool accumulate = false;  // C += A B; with kNone only
};

// Memory that products reuse from call to call. One for each thread that calls MatMul.
struct MatMulScratch {
  Buffer packed_b;
  Buffer packed_a;
  Buffer quantized_a;
  Buffer widened_a, widened_b;
};

// The instructions that multiply weights of this type here, for messages: "avx2", "avx512_vnni",
// "avx512_bf16", "amx", ...
const char* Instructions(WeightType type);

// c[a.rows, b.columns()] = a b, c_stride floats from row to row. Where b is not fp32, a row's
// elements lie one after another (column_stride 1) and options.accumulate is false.
void MatMul(const MatrixView& a, const PackedMatrix& b, float* c, int64_t c_stride,
            const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool);

// The same with b packed on the fly: for weights that change from step to step.
void MatMul(const MatrixView& a, const MatrixView& b, float* c, int64_t c_stride,
            const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool);

}  // namespace bertie::kernels
