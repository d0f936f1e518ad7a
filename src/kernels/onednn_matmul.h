// The library's matrix product, for what it does better than our own kernel: many rows on AVX-512.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/matmul.h"

namespace bertie::kernels {

// Whether products with both matrices in plain memory go through oneDNN. By default on processors
// with AVX-512, where it reaches 95 to 100 % of the peak from 128 rows on; on AVX2 both reach the
// same and ours starts faster. BERTIE_MATMUL=onednn or =own in the environment overrides that.
// Fixed for the life of the process, since the two round differently.
bool UseOneDnn();

// c[a.rows, b.columns] = a b (+ bias), or c += a b, with kNone or kBias. The columns are shared out
// among the pool's workers, each of which runs oneDNN on one thread.
void OneDnnMatMul(const MatrixView& a, const MatrixView& b, float* c, int64_t c_stride,
                  const MatMulOptions& options, ThreadPool& pool);

// The same with both operands in bfloat16; sums and c are fp32.
void OneDnnMatMul(const BF16View& a, const BF16View& b, float* c, int64_t c_stride,
                  const MatMulOptions& options, ThreadPool& pool);

}  // namespace bertie::kernels
