#include "model/training_linear.h"

#include "kernels/elementwise.h"
#include "kernels/mixed_matmul.h"

namespace bertie::model {

using kernels::RowMajor;

namespace {

kernels::BF16View RoundedWeight(const LinearRef& linear) {
  return {linear.rounded, linear.out, linear.in, linear.in, 1};
}

kernels::BF16View RoundInput(const LinearInput& x, int64_t rows, int64_t in,
                             const LinearContext& context) {
  Buffer& memory = x.rounded != nullptr ? *x.rounded : *context.rounded_x;
  return kernels::RoundMatrix(RowMajor(x.values, rows, in), memory, *context.pool);
}

kernels::BF16View RoundedInput(const LinearInput& x, int64_t rows, int64_t in,
                               const LinearContext& context) {
  if (x.rounded == nullptr) return RoundInput(x, rows, in, context);
  return {reinterpret_cast<const uint16_t*>(x.rounded->data()), rows, in, in, 1};
}

// As LinearBackward, with every operand in bfloat16.
void MixedBackward(const LinearRef& linear, const LinearInput& x, const float* dy, int64_t rows,
                   float* dx, bool accumulate, const LinearContext& context) {
  ThreadPool& pool = *context.pool;
  const auto rounded_dy =
      kernels::RoundMatrix(RowMajor(dy, rows, linear.out), *context.rounded_dy, pool);
  kernels::MatMulOptions options;
  if (linear.d_weight != nullptr) {
    options.accumulate = true;
    kernels::MixedMatMul(rounded_dy.Transposed(), RoundedInput(x, rows, linear.in, context),
                         linear.d_weight, linear.in, options, *context.matmul, pool);
  }
  if (dx == nullptr) return;
  options.accumulate = accumulate;
  kernels::MixedMatMul(rounded_dy, RoundedWeight(linear), dx, linear.in, options, *context.matmul,
                       pool);
}

}  // namespace

void LinearForward(const LinearRef& linear, const LinearInput& x, int64_t rows, float* y,
                   const LinearContext& context) {
  kernels::MatMulOptions options;
  options.epilogue = kernels::Epilogue::kBias;
  options.bias = linear.bias;
  if (linear.rounded != nullptr) {
    return kernels::MixedMatMul(RoundInput(x, rows, linear.in, context),
                                RoundedWeight(linear).Transposed(), y, linear.out, options,
                                *context.matmul, *context.pool);
  }
  kernels::MatMul(RowMajor(x.values, rows, linear.in),
                  RowMajor(linear.weight, linear.out, linear.in).Transposed(), y, linear.out,
                  options, *context.matmul, *context.pool);
}

void LinearBackward(const LinearRef& linear, const LinearInput& x, const float* dy, int64_t rows,
                    float* dx, bool accumulate, const LinearContext& context) {
  if (linear.d_weight != nullptr) {
    kernels::AddColumnSums(rows, linear.out, dy, linear.d_bias, *context.pool);
  }
  if (linear.rounded != nullptr) {
    return MixedBackward(linear, x, dy, rows, dx, accumulate, context);
  }
  if (linear.d_weight != nullptr) {
    kernels::MatMulOptions add;
    add.accumulate = true;
    kernels::MatMul(RowMajor(dy, rows, linear.out).Transposed(),
                    RowMajor(x.values, rows, linear.in), linear.d_weight, linear.in, add,
                    *context.matmul, *context.pool);
  }
  if (dx == nullptr) return;
  kernels::MatMulOptions options;
  options.accumulate = accumulate;
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
