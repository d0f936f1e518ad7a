// The inner product of all matrix products: a tile of kTileRows x 2 vectors of C held in registers.
// Compiled once per instruction set; included by sources that use Highway's foreach_target.

#include "kernels/targets.h"
//
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/tile_table.h"

#if defined(BERTIE_MICROKERNEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BERTIE_MICROKERNEL_INL_H_
#undef BERTIE_MICROKERNEL_INL_H_
#else
#define BERTIE_MICROKERNEL_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;

// Registers decide: 16 on AVX2 hold 6 x 2 sums, two columns of B and a broadcast of A; the 32 of
// AVX-512 hold 12 x 2.
#if HWY_TARGET == HWY_AVX3
inline constexpr int kTileRows = 12;
#else
inline constexpr int kTileRows = 6;
#endif

// Columns of a tile, and so of a panel of packed B.
HWY_INLINE int64_t TileColumns() { return 2 * static_cast<int64_t>(hn::Lanes(Floats())); }

// Bits of a bfloat16. Panels of them hold pairs of rows: [depth / 2][TileColumns()][2], so that a
// 32-bit lane has both of a column, the upper half a float already.
struct BF16 {
  uint16_t bits;
};

template <class Weight>
HWY_INLINE int64_t PaddedDepth(int64_t depth) {
  return std::is_same_v<Weight, BF16> ? (depth + 1) / 2 * 2 : depth;
}

// A panel's share for a tile of any height, and where it is kept in fp32 for the tiles after it.
template <class Weight>
struct Panel {
  const Weight* b;  // row k is b + k * TileColumns(), aligned
  // Each step also asks for one cache line at next, next + next_step, ...: the panel wanted next,
  // so that weights stream in from memory while all tiles of this one are computed.
  const Weight* next = nullptr;
  int64_t next_step = 0;
  float* widened = nullptr;  // [depth][TileColumns()] of bf16 weights, if they are wanted
};

// A tile's share of A: element (r, k) is a[r * row_stride + k * depth_stride].
struct TileOfA {
  const float* a;
  int64_t row_stride;
  int64_t depth_stride;
};

// C[kRows, 2 vectors] (+)= A[kRows, depth] B[depth, 2 vectors].
// Sums run over k in order from C's old value, so a product cut into several calls along k has the
// same bits as one call.
template <int kRows, class Weight, bool kWiden>
HWY_INLINE void TileKernel(int64_t depth, const TileOfA& rows, const Panel<Weight>& panel,
                           float* HWY_RESTRICT c, int64_t c_stride, bool accumulate) {
  const Floats d;
  using V = hn::Vec<Floats>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const float* HWY_RESTRICT a = rows.a;
  const int64_t row_stride = rows.row_stride, depth_stride = rows.depth_stride;
  const Weight* HWY_RESTRICT b = panel.b;
  const Weight* next = panel.next;
  const int64_t next_step = panel.next_step;
  V s0[kRows], s1[kRows];
  if (accumulate) {
    BERTIE_UNROLL_ROWS
    for (int r = 0; r < kRows; ++r) {
      s0[r] = hn::LoadU(d, c + r * c_stride);
      s1[r] = hn::LoadU(d, c + r * c_stride + lanes);
    }
  } else {
    BERTIE_UNROLL_ROWS
    for (int r = 0; r < kRows; ++r) s0[r] = s1[r] = hn::Zero(d);
  }
  float* HWY_RESTRICT widened = panel.widened;
  const auto add_products = [&](V b0, V b1) HWY_ATTR {
    if constexpr (kWiden) {
      hn::Store(b0, d, widened);
      hn::Store(b1, d, widened + lanes);
      widened += 2 * lanes;
    }
    BERTIE_UNROLL_ROWS
    for (int r = 0; r < kRows; ++r) {
      const V ar = hn::Set(d, a[r * row_stride]);
      s0[r] = hn::MulAdd(ar, b0, s0[r]);
      s1[r] = hn::MulAdd(ar, b1, s1[r]);
    }
    a += depth_stride;
  };
  if constexpr (std::is_same_v<Weight, float>) {
    for (int64_t k = 0; k < depth; ++k) {
      __builtin_prefetch(next);
      if (lanes > 8) __builtin_prefetch(next + 16);
      next += next_step;
      add_products(hn::Load(d, b), hn::Load(d, b + lanes));
      b += 2 * lanes;
    }
  } else {
    const hn::RebindToUnsigned<Floats> du;
    const auto upper = hn::Set(du, 0xffff0000u);
    for (int64_t k = 0; k < depth; k += 2) {
      const auto* pairs = reinterpret_cast<const uint32_t*>(b);
      __builtin_prefetch(next);
      next += 2 * next_step;
      add_products(hn::BitCast(d, hn::ShiftLeft<16>(hn::Load(du, pairs))),
                   hn::BitCast(d, hn::ShiftLeft<16>(hn::Load(du, pairs + lanes))));
      if (k + 1 == depth) break;
      add_products(hn::BitCast(d, hn::And(hn::Load(du, pairs), upper)),
                   hn::BitCast(d, hn::And(hn::Load(du, pairs + lanes), upper)));
      b += 4 * lanes;
    }
  }
  BERTIE_UNROLL_ROWS
  for (int r = 0; r < kRows; ++r) {
    hn::StoreU(s0[r], d, c + r * c_stride);
    hn::StoreU(s1[r], d, c + r * c_stride + lanes);
  }
}

// TileKernel for 1 <= rows <= kTileRows known only at run time.
template <class Weight>
HWY_INLINE void TileRows(int rows, int64_t depth, const TileOfA& a, const Panel<Weight>& panel,
                         float* c, int64_t c_stride, bool accumulate) {
  const auto index = static_cast<size_t>(rows - 1);
  if constexpr (std::is_same_v<Weight, BF16>) {
    if (panel.widened != nullptr) {
      static constexpr auto kTiles =
          TileTable<kTileRows>([](auto height) { return &TileKernel<height(), Weight, true>; });
      return kTiles[index](depth, a, panel, c, c_stride, accumulate);
    }
  }
  static constexpr auto kTiles =
      TileTable<kTileRows>([](auto height) { return &TileKernel<height(), Weight, false>; });
  kTiles[index](depth, a, panel, c, c_stride, accumulate);
}

// The largest TileColumns() of any target, for buffers on the stack.
inline constexpr int64_t kMaxTileColumns = 32;

// One tile of which only `columns` columns of C exist; B's panel is padded, C is not.
template <class Weight>
HWY_INLINE void TileRowsEdge(int rows, int64_t columns, int64_t depth, const TileOfA& a,
                             const Panel<Weight>& panel, float* c, int64_t c_stride,
                             bool accumulate) {
  const int64_t width = TileColumns();
  if (columns >= width) return TileRows(rows, depth, a, panel, c, c_stride, accumulate);
  HWY_ALIGN float tile[kTileRows * kMaxTileColumns] = {};
  const size_t bytes = static_cast<size_t>(columns) * sizeof(float);
  if (accumulate) {
    for (int r = 0; r < rows; ++r) std::memcpy(tile + r * width, c + r * c_stride, bytes);
  }
  TileRows(rows, depth, a, panel, tile, width, accumulate);
  for (int r = 0; r < rows; ++r) std::memcpy(c + r * c_stride, tile + r * width, bytes);
}

// Packs the columns [column, column + TileColumns()) of B, whose element (k, j) is
// b[k * depth_stride + j * column_stride], as [depth][TileColumns()] into out; columns beyond
// `columns` become zero.
inline void PackPanel(int64_t depth, int64_t columns, const float* HWY_RESTRICT b,
                      int64_t depth_stride, int64_t column_stride, float* HWY_RESTRICT out) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t width = TileColumns();
  if (columns >= width && column_stride == 1) {
    for (int64_t k = 0; k < depth; ++k) {
      hn::Store(hn::LoadU(d, b + k * depth_stride), d, out + k * width);
      hn::Store(hn::LoadU(d, b + k * depth_stride + lanes), d, out + k * width + lanes);
    }
    return;
  }
  if (columns < width) std::memset(out, 0, static_cast<size_t>(depth * width) * sizeof(float));
  // Blocks of k keep the written lines in L1 while the columns are read along their own lines.
  constexpr int64_t kBlock = 64;
  for (int64_t k0 = 0; k0 < depth; k0 += kBlock) {
    const int64_t k1 = std::min(depth, k0 + kBlock);
    for (int64_t j = 0; j < std::min(columns, width); ++j) {
      const float* column = b + j * column_stride;
      for (int64_t k = k0; k < k1; ++k) out[k * width + j] = column[k * depth_stride];
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#endif  // BERTIE_MICROKERNEL_INL_H_
