#include "model/training_linear.h"

#include "kernels/elementwise.h"

namespace bertie::model {

using kernels::RowMajor;

void LinearForward(const LinearRef& linear, const float* x, int64_t rows, float* y,
                   const LinearContext& context) {
  kernels::MatMulOptions options;
  options.epilogue = kernels::Epilogue::kBias;
  options.bias = linear.bias;
  options.bf16 = context.bf16;
  kernels::MatMul(RowMajor(x, rows, linear.in),
                  RowMajor(linear.weight, linear.out, linear.in).Transposed(), y, linear.out,
                  options, *context.matmul, *context.pool);
}

void LinearBackward(const LinearRef& linear, const float* x, const float* dy, int64_t rows,
                    float* dx, bool accumulate, const LinearContext& context) {
  if (linear.d_weight != nullptr) {
    kernels::AddColumnSums(rows, linear.out, dy, linear.d_bias, *context.pool);
    kernels::MatMulOptions add;
    add.accumulate = true;
    add.bf16 = context.bf16;
    kernels::MatMul(RowMajor(dy, rows, linear.out).Transposed(), RowMajor(x, rows, linear.in),
                    linear.d_weight, linear.in, add, *context.matmul, *context.pool);
  }
  if (dx == nullptr) return;
  kernels::MatMulOptions options;
  options.accumulate = accumulate;
  options.bf16 = context.bf16;
  kernels::MatMul(RowMajor(dy, rows, linear.out), RowMajor(linear.weight, linear.out, linear.in),
                  dx, linear.in, options, *context.matmul, *context.pool);
}

void LoraForward(const LoraRef& lora, const float* x, int64_t rows, float* y, int64_t y_stride,
                 Buffer& low, const LinearContext& context) {
  if (lora.a == nullptr) return;
  float* down = low.Resize(rows * lora.rank);
  kernels::MatMul(RowMajor(x, rows, lora.in), RowMajor(lora.a, lora.rank, lora.in).Transposed(),
                  down, lora.rank, {}, *context.matmul, *context.pool);
  for (int64_t i = 0; i < rows * lora.rank; ++i) down[i] *= lora.scale;
  kernels::MatMulOptions add;
  add.accumulate = true;
  kernels::MatMul(RowMajor(down, rows, lora.rank),
                  RowMajor(lora.b, lora.out, lora.rank).Transposed(), y, y_stride, add,
                  *context.matmul, *context.pool);
}

void LoraBackward(const LoraRef& lora, const float* x, const LoraGradient& gradient, float* dx,
                  Buffer& scratch, const LinearContext& context) {
  if (lora.a == nullptr) return;
  const int64_t rows = gradient.rows;
  const kernels::MatrixView dy{gradient.dy, rows, lora.out, gradient.dy_stride, 1};
  kernels::MatMulOptions add;
  add.accumulate = true;
  kernels::MatMul(dy.Transposed(), RowMajor(gradient.low, rows, lora.rank), lora.d_b, lora.rank,
                  add, *context.matmul, *context.pool);
  float* d_low = scratch.Resize(rows * lora.rank);
  kernels::MatMul(dy, RowMajor(lora.b, lora.out, lora.rank), d_low, lora.rank, {}, *context.matmul,
                  *context.pool);
  for (int64_t i = 0; i < rows * lora.rank; ++i) d_low[i] *= lora.scale;
  kernels::MatMul(RowMajor(d_low, rows, lora.rank).Transposed(), RowMajor(x, rows, lora.in),
                  lora.d_a, lora.in, add, *context.matmul, *context.pool);
  if (dx == nullptr) return;
  kernels::MatMul(RowMajor(d_low, rows, lora.rank), RowMajor(lora.a, lora.rank, lora.in), dx,
                  lora.in, add, *context.matmul, *context.pool);
}

}  // namespace bertie::model
