// The int8 tile of processors with AVX512_VNNI, whose vpdpbusd multiplies bytes by fours. Not among
// Highway's targets of this version, hence by intrinsics.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bertie::kernels {

inline constexpr int kVnniTileRows = 12;
inline constexpr int64_t kVnniWidth = 32;  // columns of a panel

// sums[rows][kVnniWidth] = A B over groups of four. A's rows are bytes, a_stride apart; b is
// [groups][kVnniWidth][4]. Every step asks for the lines at next, next + next_step, ...
// 1 <= rows <= kVnniTileRows. Only where UseVnni() (x86_features.h).
void VnniTile(int rows, int64_t groups, const std::byte* a, int64_t a_stride, const std::byte* b,
              int32_t* sums, const std::byte* next, int64_t next_step);

}  // namespace bertie::kernels
