#include "kernels/bf16_dot.h"

#include <immintrin.h>

#include <cstring>

#include "kernels/tile_table.h"

// GCC warns of its own header's deliberately uninitialised vectors.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define BERTIE_BF16_DOT __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

namespace bertie::kernels {
namespace {

template <int kRows>
BERTIE_BF16_DOT void Tile(int64_t pairs, const std::byte* a, int64_t a_stride, const std::byte* b,
                          float* c, int64_t c_stride, const std::byte* next, int64_t next_step) {
  __m512 s0[kRows], s1[kRows];
  BERTIE_UNROLL_ROWS
  for (int r = 0; r < kRows; ++r) s0[r] = s1[r] = _mm512_setzero_ps();
  for (int64_t p = 0; p < pairs; ++p) {
    const auto b0 = (__m512bh)_mm512_loadu_si512(b);
    const auto b1 = (__m512bh)_mm512_loadu_si512(b + 64);
    b += 128;
    __builtin_prefetch(next);
    __builtin_prefetch(next + 64);
    next += next_step;
    BERTIE_UNROLL_ROWS
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * a_stride, sizeof(pair));
      const auto x = (__m512bh)_mm512_set1_epi32(pair);
      s0[r] = _mm512_dpbf16_ps(s0[r], x, b0);
      s1[r] = _mm512_dpbf16_ps(s1[r], x, b1);
    }
    a += 4;
  }
  BERTIE_UNROLL_ROWS
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(c + r * c_stride, s0[r]);
    _mm512_storeu_ps(c + r * c_stride + 16, s1[r]);
  }
}

}  // namespace

BERTIE_BF16_DOT void RoundToBF16(int64_t count, int64_t padded, const float* x, std::byte* out) {
  int64_t j = 0;
  for (; j + 16 <= count; j += 16) {
    const auto rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + j));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 2 * j), rounded);
  }
  if (j < count) {
    const auto mask = static_cast<__mmask16>((1u << (count - j)) - 1);
    const auto rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + j));
    _mm256_mask_storeu_epi16(out + 2 * j, mask, rounded);
  }
  if (padded > count) std::memset(out + 2 * count, 0, static_cast<size_t>(2 * (padded - count)));
}

void BF16DotTile(int rows, int64_t pairs, const std::byte* a, int64_t a_stride, const std::byte* b,
                 float* c, int64_t c_stride, const std::byte* next, int64_t next_step) {
  static constexpr auto kTiles =
      TileTable<kBF16DotRows>([](auto height) { return &Tile<height()>; });
  kTiles[static_cast<size_t>(rows - 1)](pairs, a, a_stride, b, c, c_stride, next, next_step);
}

}  // namespace bertie::kernels
