// Mixed precision, for training: matrices in plain memory rounded to bfloat16, and their products.
#pragma once

#include "base/thread_pool.h"
#include "kernels/matmul.h"

namespace bertie::kernels {

// Whether the processor multiplies bfloat16 (AVX512_BF16, AMX). BERTIE_BF16=emulate in the
// environment makes it true anywhere: operands are then rounded, and multiplied as floats, which
// tells what bf16 does to a model but not how fast. Fixed for the life of the process.
bool UseBF16();

// out[i] = bf16(x[i]), round to nearest, ties to even. The processor's own instruction, where it
// has one, takes denormals for zeros.
void RoundRunToBF16(int64_t count, const float* x, uint16_t* out);

// The matrix rounded into `memory`, dense. Its rows or its columns are contiguous.
BF16View RoundMatrix(const MatrixView& view, Buffer& memory, ThreadPool& pool);

// c[a.rows, b.columns] = a b (+ bias), or c += a b, with kNone or kBias; sums are fp32.
void MixedMatMul(const BF16View& a, const BF16View& b, float* c, int64_t c_stride,
                 const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool);

}  // namespace bertie::kernels
