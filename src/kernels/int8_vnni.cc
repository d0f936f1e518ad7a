#include "kernels/int8_vnni.h"

#include <immintrin.h>

#include <cstring>

#include "kernels/tile_table.h"

// GCC warns of its own header's deliberately uninitialised vectors.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define BERTIE_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace bertie::kernels {
namespace {

template <int kRows>
BERTIE_VNNI void Tile(int64_t groups, const std::byte* a, int64_t a_stride, const std::byte* b,
                      int32_t* sums, const std::byte* next, int64_t next_step) {
  __m512i s0[kRows], s1[kRows];
  BERTIE_UNROLL_ROWS
  for (int r = 0; r < kRows; ++r) s0[r] = s1[r] = _mm512_setzero_si512();
  for (int64_t g = 0; g < groups; ++g) {
    const __m512i b0 = _mm512_loadu_si512(b);
    const __m512i b1 = _mm512_loadu_si512(b + 64);
    b += 128;
    __builtin_prefetch(next);
    __builtin_prefetch(next + 64);
    next += next_step;
    BERTIE_UNROLL_ROWS
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      std::memcpy(&four, a + r * a_stride, sizeof(four));
      const __m512i x = _mm512_set1_epi32(four);
      s0[r] = _mm512_dpbusd_epi32(s0[r], x, b0);
      s1[r] = _mm512_dpbusd_epi32(s1[r], x, b1);
    }
    a += 4;
  }
  BERTIE_UNROLL_ROWS
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_si512(sums + r * kVnniWidth, s0[r]);
    _mm512_storeu_si512(sums + r * kVnniWidth + 16, s1[r]);
  }
}

}  // namespace

void VnniTile(int rows, int64_t groups, const std::byte* a, int64_t a_stride, const std::byte* b,
              int32_t* sums, const std::byte* next, int64_t next_step) {
  static constexpr auto kTiles =
      TileTable<kVnniTileRows>([](auto height) { return &Tile<height()>; });
  kTiles[static_cast<size_t>(rows - 1)](groups, a, a_stride, b, sums, next, next_step);
}

}  // namespace bertie::kernels
