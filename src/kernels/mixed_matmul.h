// Mixed precision: products of two matrices in plain memory with both rounded to bfloat16, for
// training.
#pragma once

#include "base/thread_pool.h"
#include "kernels/matmul.h"

namespace bertie::kernels {

// Whether the processor multiplies bfloat16 (AVX512_BF16, AMX). BERTIE_BF16=emulate in the
// environment makes it true anywhere: operands are then rounded, and multiplied as floats, which
// tells what bf16 does to a model but not how fast. Fixed for the life of the process.
bool UseBF16();

// out[i] = bf16(x[i]), round to nearest, ties to even.
void RoundRunToBF16(int64_t count, const float* x, uint16_t* out);

// c[a.rows, b.columns] = a b (+ bias), or c += a b, with kNone or kBias. Each operand's rows or
// columns are contiguous.
void MixedMatMul(const MatrixView& a, const MatrixView& b, float* c, int64_t c_stride,
                 const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool);

}  // namespace bertie::kernels
