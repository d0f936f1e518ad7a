#include "kernels/int8_matmul.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8_matmul.cc"
#include "kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/amx_block.h"
#include "kernels/epilogue-inl.h"
#include "kernels/int8_vnni.h"
#include "kernels/matmul_tiles.h"
#include "kernels/microkernel-inl.h"
#include "kernels/row_tiles.h"
#include "kernels/tile_table.h"
#include "kernels/x86_features.h"

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

// As below, for processors without vectors that Highway knows (before SSE4 with AES), a column at a
// time.
template <int kRows>
void QuadTile(int64_t octets, const std::byte* a, int64_t a_stride, const std::byte* b,
              int32_t* sums, const std::byte*, int64_t) {
  const int64_t width = TileColumns();
  for (int64_t r = 0; r < kRows; ++r) {
    const auto* row = reinterpret_cast<const uint8_t*>(a + r * a_stride);
    for (int64_t j = 0; j < width; ++j) {
      const auto* column = reinterpret_cast<const int8_t*>(b) + 4 * j;
      int32_t sum = 0;
      for (int64_t k = 0; k < 8 * octets; ++k) sum += row[k] * column[k / 4 * 4 * width + k % 4];
      sums[r * width + j] = sum;
    }
  }
}

#else

#if HWY_TARGET == HWY_SSE4
#define BERTIE_SIMD(op) _mm_##op
using Bytes = __m128i;
#elif HWY_TARGET == HWY_AVX2
#define BERTIE_SIMD(op) _mm256_##op
using Bytes = __m256i;
#else
#define BERTIE_SIMD(op) _mm512_##op
using Bytes = __m512i;
#endif

// x0 b0 + x1 b1 in 16 bits, which cannot overflow for weights packed as the header says, then
// in 32.
HWY_INLINE Bytes QuadProducts(Bytes x0, Bytes b0, Bytes x1, Bytes b1, Bytes ones) {
  const Bytes narrow = BERTIE_SIMD(add_epi16)(BERTIE_SIMD(maddubs_epi16)(x0, b0),
                                              BERTIE_SIMD(maddubs_epi16)(x1, b1));
  return BERTIE_SIMD(madd_epi16)(narrow, ones);
}

HWY_INLINE Bytes SetFour(const std::byte* from) {
  int32_t four;
  std::memcpy(&four, from, sizeof(four));
  return BERTIE_SIMD(set1_epi32)(four);
}

// sums[kRows, 2 vectors] = A B over groups of eight. A's rows are bytes, a_stride apart; b is
// [2 octets][2 vectors][4] int8. Each step asks for the lines at next, next + next_step, ...
template <int kRows>
HWY_INLINE void QuadTile(int64_t octets, const std::byte* HWY_RESTRICT a, int64_t a_stride,
                         const std::byte* HWY_RESTRICT b, int32_t* HWY_RESTRICT sums,
                         const std::byte* next, int64_t next_step) {
  const Bytes ones = BERTIE_SIMD(set1_epi16)(1);
  Bytes s0[kRows], s1[kRows];
  BERTIE_UNROLL_ROWS
  for (int r = 0; r < kRows; ++r) s0[r] = s1[r] = Bytes{};
  for (int64_t i = 0; i < octets; ++i) {
    // Vector types may alias; panels are aligned to them.
    const auto* w = reinterpret_cast<const Bytes*>(b);
    b += 4 * sizeof(Bytes);
    for (size_t line = 0; line < 4 * sizeof(Bytes); line += 64) __builtin_prefetch(next + line);
    next += next_step;
    BERTIE_UNROLL_ROWS
    for (int r = 0; r < kRows; ++r) {
      const Bytes x0 = SetFour(a + r * a_stride);
      const Bytes x1 = SetFour(a + r * a_stride + 4);
      s0[r] = BERTIE_SIMD(add_epi32)(s0[r], QuadProducts(x0, w[0], x1, w[2], ones));
      s1[r] = BERTIE_SIMD(add_epi32)(s1[r], QuadProducts(x0, w[1], x1, w[3], ones));
    }
    a += 8;
  }
  BERTIE_UNROLL_ROWS
  for (int r = 0; r < kRows; ++r) {
    std::memcpy(sums + r * TileColumns(), &s0[r], sizeof(Bytes));
    std::memcpy(sums + r * TileColumns() + TileColumns() / 2, &s1[r], sizeof(Bytes));
  }
}

#undef BERTIE_SIMD
#endif

inline void QuadTileRows(int rows, int64_t octets, const std::byte* a, int64_t a_stride,
                         const std::byte* b, int32_t* sums, const std::byte* next,
                         int64_t next_step) {
  static constexpr auto kTiles =
      TileTable<kTileRows>([](auto height) { return &QuadTile<height()>; });
  kTiles[static_cast<size_t>(rows - 1)](octets, a, a_stride, b, sums, next, next_step);
}

// The row's range includes 0, so that 0 stays 0 exactly.
struct RowRange {
  float lowest = 0;
  float highest = 0;
};

RowRange FindRange(int64_t count, const float* x) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto low = hn::Zero(d), high = hn::Zero(d);
  auto low1 = low, high1 = high;  // a second chain: each waits for its own last step alone
  int64_t j = 0;
  for (; j + 2 * lanes <= count; j += 2 * lanes) {
    const auto value = hn::LoadU(d, x + j), value1 = hn::LoadU(d, x + j + lanes);
    low = hn::Min(low, value);
    high = hn::Max(high, value);
    low1 = hn::Min(low1, value1);
    high1 = hn::Max(high1, value1);
  }
  low = hn::Min(low, low1);
  high = hn::Max(high, high1);
  RowRange range{hn::GetLane(hn::MinOfLanes(d, low)), hn::GetLane(hn::MaxOfLanes(d, high))};
  for (; j < count; ++j) {
    range.lowest = std::min(range.lowest, x[j]);
    range.highest = std::max(range.highest, x[j]);
  }
  return range;
}

// The q of as many elements as whole blocks have; returns how many. Packing by saturation takes
// half the instructions of the loop that does the rest.
int64_t QuantizeBlocks(int64_t count, const float* x, float inverse, int32_t zero, uint8_t* out) {
#if HWY_TARGET == HWY_AVX3
  const __m512 factor = _mm512_set1_ps(inverse);
  const __m512i shift = _mm512_set1_epi16(static_cast<int16_t>(zero));
  // Packing goes by groups of 128 bits.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const auto scaled = [&](const float* from) HWY_ATTR {
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(from), factor));
  };
  const auto pair = [&](const float* from) HWY_ATTR {
    return _mm512_add_epi16(_mm512_packs_epi32(scaled(from), scaled(from + 16)), shift);
  };
  int64_t j = 0;
  for (; j + 64 <= count; j += 64) {
    const __m512i bytes = _mm512_packus_epi16(pair(x + j), pair(x + j + 32));
    _mm512_storeu_si512(out + j, _mm512_permutexvar_epi32(order, bytes));
  }
  return j;
#else
  (void)count, (void)x, (void)inverse, (void)zero, (void)out;
  return 0;
#endif
}

// q of one row, with zeros up to `padded`.
void QuantizeRow(int64_t count, int64_t padded, const float* x, float inverse, int32_t zero,
                 uint8_t* out) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const hn::Rebind<uint8_t, Floats> du8;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t j = QuantizeBlocks(count, x, inverse, zero, out);
  for (; j + lanes <= count; j += lanes) {
    const auto scaled = hn::NearestInt(hn::Mul(hn::LoadU(d, x + j), hn::Set(d, inverse)));
    const auto shifted = hn::Add(scaled, hn::Set(di, zero));
    const auto q = hn::Min(hn::Max(shifted, hn::Zero(di)), hn::Set(di, 255));
    hn::StoreU(hn::DemoteTo(du8, q), du8, out + j);
  }
  for (; j < count; ++j) {
    const auto q = static_cast<int32_t>(std::nearbyint(x[j] * inverse)) + zero;
    out[j] = static_cast<uint8_t>(std::clamp(q, 0, 255));
  }
  for (; j < padded; ++j) out[j] = 0;
}

void QuantizeRowsImpl(const MatrixView& a, int64_t row0, int64_t row1, const QuantizedTarget& to) {
  // A few rows at a time, as many as stay in L1: no row waits for its own range's last comparison.
  constexpr int64_t kTogether = 8, kElements = 6144;
  const int64_t together =
      std::clamp<int64_t>(kElements / std::max<int64_t>(1, a.columns), 1, kTogether);
  for (int64_t first = row0; first < row1; first += together) {
    const int64_t last = std::min(row1, first + together);
    float inverses[kTogether];
    for (int64_t row = first; row < last; ++row) {
      const RowRange range = FindRange(a.columns, a.data + row * a.row_stride);
      const float scale = (range.highest - range.lowest) / 255.0f;
      const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
      to.scales[row] = scale;
      to.zeros[row] = static_cast<int32_t>(std::nearbyint(-range.lowest * inverse));
      inverses[row - first] = inverse;
    }
    for (int64_t row = first; row < last; ++row) {
      QuantizeRow(a.columns, to.padded, a.data + row * a.row_stride, inverses[row - first],
                  to.zeros[row], to.data + row * to.stride);
    }
  }
}

// Where a panel's share of a tile comes from and goes to. All have TileColumns() columns.
struct DequantizedTile {
  int64_t row;
  int rows;
  const int32_t* sums;         // [rows][width]
  const float* scales;         // of the columns
  const int32_t* column_sums;  // of the weights
  float* c;
  int64_t c_stride;
};

// C's tile from its sums: scale_x scale_w (sum - zero sum_w), and the epilogue of `column` on.
template <Epilogue kEpilogue>
void Dequantize(const Int8Job& job, const DequantizedTile& tile, int64_t column) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t width = TileColumns();
  const MatMulOptions& options = job.options;
  for (int64_t j = 0; j < width; j += lanes) {
    const auto column_sums = hn::LoadU(di, tile.column_sums + j);
    const auto scales = hn::LoadU(d, tile.scales + j);
    auto bias = hn::Zero(d), residual = hn::Zero(d);
    if constexpr (kEpilogue != Epilogue::kNone) bias = hn::LoadU(d, options.bias + column + j);
    for (int64_t r = 0; r < tile.rows; ++r) {
      const int64_t row = tile.row + r;
      const auto shift = hn::Mul(hn::Set(di, job.a.zeros[row]), column_sums);
      const auto sum = hn::ConvertTo(d, hn::Sub(hn::LoadU(di, tile.sums + r * width + j), shift));
      const auto value = hn::Mul(sum, hn::Mul(hn::Set(d, job.a.scales[row]), scales));
      if constexpr (kEpilogue == Epilogue::kBiasResidual) {
        residual = hn::LoadU(d, options.residual + row * options.residual_stride + column + j);
      }
      hn::StoreU(Finish<kEpilogue>(d, value, bias, residual), d, tile.c + r * tile.c_stride + j);
    }
  }
}

// What one panel needs beside the job: where it lies, and the kernel's steps.
struct Int8Panel {
  const std::byte* b = nullptr;
  int64_t column = 0;  // its first
  int64_t bytes = 0;
  int64_t octets = 0;
};

// The most rows whose sums are placed at once.
constexpr int kMostPlaced = std::max<int>(kTileRows, kAmxRows);

// Sums [rows][TileColumns()] into C.
void Place(const Int8Job& job, const Int8Panel& panel, int64_t row, int rows, const int32_t* sums) {
  const int64_t width = TileColumns();
  const auto* scales = reinterpret_cast<const float*>(panel.b + panel.bytes) - 2 * width;
  const auto* column_sums = reinterpret_cast<const int32_t*>(scales + width);
  const int64_t columns = std::min(width, job.columns - panel.column);
  float* c = job.c + row * job.c_stride + panel.column;
  DequantizedTile tile{row, rows, sums, scales, column_sums, c, job.c_stride};
  if (columns == width) {
    return WithEpilogue(job.options.epilogue, [&](auto epilogue) HWY_ATTR {
      Dequantize<epilogue()>(job, tile, panel.column);
    });
  }
  HWY_ALIGN float whole[kMostPlaced * kMaxTileColumns];
  tile.c = whole;
  tile.c_stride = width;
  Dequantize<Epilogue::kNone>(job, tile, panel.column);
  for (int r = 0; r < rows; ++r) {
    std::memcpy(c + r * job.c_stride, whole + r * width,
                static_cast<size_t>(columns) * sizeof(float));
  }
  ApplyEpilogueTo(job.options, {row, rows, panel.column, columns, c, job.c_stride});
}

void MultiplyTile(const Int8Job& job, const Int8Panel& panel, int64_t row, int rows,
                  const std::byte* next, int64_t next_step) {
  HWY_ALIGN int32_t sums[kTileRows * kMaxTileColumns];
  const std::byte* a = job.a.data + row * job.a.stride;
  // VNNI's tiles and panels are as AVX-512's.
  if (HWY_TARGET == HWY_AVX3 && UseVnni()) {
    VnniTile(rows, 2 * panel.octets, a, job.a.stride, panel.b, sums, next, next_step / 2);
  } else {
    QuadTileRows(rows, panel.octets, a, job.a.stride, panel.b, sums, next, next_step);
  }
  Place(job, panel, row, rows, sums);
}

void MultiplyByTiles(const Int8Job& job, const RowTiles& tiles, const Int8Panel& panel) {
  // The fetch of the next panel is spread over this one's tiles.
  const std::byte* next = panel.b + panel.bytes;
  const int64_t next_step = std::max<int64_t>(2, 8 * TileColumns() / tiles.count());
  for (int64_t tile = 0; tile < tiles.count(); ++tile) {
    MultiplyTile(job, panel, tiles.Begin(tile), tiles.Height(tile), next, next_step);
    next += panel.octets * next_step;
  }
}

void MultiplyByAmx(const Int8Job& job, AmxBlock& block, int64_t row0, const Int8Panel& panel) {
  block.Multiply(panel.b, panel.b + panel.bytes, [&](int64_t row, int rows, const std::byte* sums) {
    Place(job, panel, row0 + row, rows, reinterpret_cast<const int32_t*>(sums));
  });
}

void MultiplyInt8BlockImpl(const Int8Job& job, int64_t row0, int64_t row1, int64_t panel0,
                           int64_t panel1) {
  if (row0 >= row1) return;
  Int8Panel panel;
  panel.bytes = PanelBytes(WeightType::kI8, job.depth, NativeLayout(WeightType::kI8));
  panel.octets = (job.depth + 7) / 8;
  const RowTiles tiles(row0, row1, kTileRows);
  std::optional<AmxBlock> amx;
  if (HWY_TARGET == HWY_AVX3 && row1 - row0 >= kAmxRows && UseAmxInt8()) {
    const AmxRowsOfA a{job.a.data + row0 * job.a.stride, job.a.stride, row1 - row0,
                       2 * panel.octets};
    amx.emplace(AmxType::kInt8, a);
  }
  for (int64_t p = panel0; p < panel1; ++p) {
    panel.b = job.b + p * panel.bytes;
    panel.column = p * TileColumns();
    if (amx) {
      MultiplyByAmx(job, *amx, row0, panel);
    } else {
      MultiplyByTiles(job, tiles, panel);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bertie::kernels {

HWY_EXPORT(QuantizeRowsImpl);
HWY_EXPORT(MultiplyInt8BlockImpl);

QuantizedRows QuantizeRows(const MatrixView& a, Buffer& scratch, ThreadPool& pool) {
  const int64_t padded = (a.columns + 63) / 64 * 64;
  // A line more than a row, so that rows a multiple of 4 KiB long do not share their cache sets.
  const int64_t stride = padded + 64;
  const int64_t tables = (2 * a.rows + 15) / 16 * 16;
  float* memory = scratch.Resize(tables + a.rows * stride / 4);
  float* scales = memory;
  auto* zeros = reinterpret_cast<int32_t*>(memory + a.rows);
  auto* data = reinterpret_cast<uint8_t*>(memory + tables);
  // Fewer elements than this are done before another thread has woken.
  constexpr int64_t kTaskElements = 8192;
  const int64_t rows_a_task = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, a.columns));
  pool.ParallelFor((a.rows + rows_a_task - 1) / rows_a_task, [&](int64_t task, int) {
    HWY_DYNAMIC_DISPATCH(QuantizeRowsImpl)
    (a, task * rows_a_task, std::min(a.rows, (task + 1) * rows_a_task),
     {data, stride, padded, scales, zeros});
  });
  return {reinterpret_cast<const std::byte*>(data), stride, scales, zeros};
}

void MultiplyInt8Block(const Int8Job& job, int64_t row0, int64_t row1, int64_t panel0,
                       int64_t panel1) {
  HWY_DYNAMIC_DISPATCH(MultiplyInt8BlockImpl)(job, row0, row1, panel0, panel1);
}

}  // namespace bertie::kernels
#endif  // HWY_ONCE
