// Products of quantised rows with int8 weights, summed exactly in 32-bit integers.
//
// Rows of activations are quantised each by itself ("dynamic, per token": Yao et al., ZeroQuant,
// arXiv 2206.01861), asymmetrically: x = scale (q - zero), q in [0, 255]. Then
//   x w = scale_x scale_w (sum q_x q_w - zero sum q_w),
// where all sums are whole numbers, so every processor gets the same ones in any order.
//
// Processors without AVX512_VNNI multiply bytes by vpmaddubsw, whose 16-bit sums saturate. Weights
// are therefore packed so that they cannot: of every eight steps along the inner dimension, the
// four whose products meet in one 16-bit number (0, 1, 4, 5 and 2, 3, 6, 7) have positive parts
// that sum to kMostOfFour at most, and negative ones too. A column's scale is chosen by that: it
// costs a third of a bit of trained weights, and twice as many steps a second are gained over
// 16-bit products.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/packed_job.h"
#include "tensor/buffer.h"

namespace bertie::kernels {

inline constexpr int32_t kMostOfFour = 32767 / 255;

struct QuantizedRows {
  const std::byte* data = nullptr;  // q, [rows][stride], zeros up to a multiple of 64
  int64_t stride = 0;               // bytes from row to row
  const float* scales = nullptr;    // [rows]
  const int32_t* zeros = nullptr;   // [rows]
};

// The same while it is written.
struct QuantizedTarget {
  uint8_t* data = nullptr;
  int64_t stride = 0;
  int64_t padded = 0;  // bytes of a row with its zeros
  float* scales = nullptr;
  int32_t* zeros = nullptr;
};

// Quantises all rows of a (column_stride 1) into scratch.
QuantizedRows QuantizeRows(const MatrixView& a, Buffer& scratch, ThreadPool& pool);

using Int8Job = PackedJob<QuantizedRows>;  // b of kI8

// Rows [row0, row1) and panels [panel0, panel1) of C, with the epilogue.
void MultiplyInt8Block(const Int8Job& job, int64_t row0, int64_t row1, int64_t panel0,
                       int64_t panel1);

}  // namespace bertie::kernels
