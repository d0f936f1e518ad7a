// Products of bf16 weights with rows rounded to bf16, summed in fp32: for processors that multiply
// pairs of bf16 (AVX512_BF16 or AMX). All others widen the weights and multiply fp32
// (matmul_tiles.h).
//
// A row's result has the same bits for any rows beside it: were it otherwise, a last bit's
// difference would round the next product's row to another bf16, some ten thousand times as far.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/packed_job.h"
#include "tensor/buffer.h"

namespace bertie::kernels {

struct RoundedRows {
  const std::byte* data = nullptr;  // bf16, [rows], zeros up to a multiple of 64 bytes
  int64_t stride = 0;               // bytes from row to row
};

// Rounds all rows of a (column_stride 1) into scratch. Only where UseBF16Dot() (x86_features.h), as
// all here.
RoundedRows RoundRows(const MatrixView& a, Buffer& scratch, ThreadPool& pool);

using BF16Job = PackedJob<RoundedRows>;  // b of kBF16

// Rows [row0, row1) and panels [panel0, panel1) of C, with the epilogue.
void MultiplyBF16Block(const BF16Job& job, int64_t row0, int64_t row1, int64_t panel0,
                       int64_t panel1);

}  // namespace bertie::kernels
