// The bf16 tile of processors with AVX512_BF16, whose vdpbf16ps multiplies bf16 by pairs and sums
// in fp32. Not among Highway's targets of this version, hence by intrinsics.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bertie::kernels {

inline constexpr int kBF16DotRows = 12;
inline constexpr int64_t kBF16DotWidth = 32;  // columns of a panel

// out[count] = x rounded to bf16, to nearest with ties to even, denormals to zero; then zeros up to
// out[padded]. Only where UseBF16Dot() (x86_features.h), as all here.
void RoundToBF16(int64_t count, int64_t padded, const float* x, std::byte* out);

// c[rows][kBF16DotWidth], c_stride floats from row to row, = A B over pairs. A's rows are bf16,
// a_stride bytes apart; b is [pairs][kBF16DotWidth][2]. Every step asks for the lines at next,
// next + next_step, ... Sums run in order, whatever the rows. 1 <= rows <= kBF16DotRows.
void BF16DotTile(int rows, int64_t pairs, const std::byte* a, int64_t a_stride, const std::byte* b,
                 float* c, int64_t c_stride, const std::byte* next, int64_t next_step);

}  // namespace bertie::kernels
