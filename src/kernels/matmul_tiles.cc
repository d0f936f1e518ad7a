#include "kernels/matmul_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_tiles.cc"
#include "kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/epilogue-inl.h"
#include "kernels/microkernel-inl.h"
#include "kernels/row_tiles.h"

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {

// Depth of one pass: a panel's share (24 KiB on AVX2) and a tile of A fit in L1 together.
// Even, so that pairs of bf16 stay together.
constexpr int64_t kDepthBlock = 384;
// From this many rows on it pays to copy rows of A that lie a multiple of 4 KiB apart, as BERT's
// 3,072 do: they fight for the same cache sets.
constexpr int64_t kPackRows = 2 * kTileRows + 1;
constexpr int64_t kSetFloats = 1024;
// Of the copies.
constexpr int64_t kPackedStride = kDepthBlock + 16;

// With 16 registers a tile that widens bf16 is five rows tall at most.
constexpr bool kFewRegisters = kTileRows == 6;

int64_t PanelColumnsImpl() { return TileColumns(); }
int64_t TileHeightImpl() { return kTileRows; }
// A block of few rows has fewer tiles where the first one alone widens the weights and keeps them
// for the others, as tall as those of fp32. With many rows it loses more by reading twice the
// bytes.
bool WidenOnce(int64_t rows) {
  if (!kFewRegisters || rows > 4 * kTileRows) return false;
  const RowTiles kept(0, rows, kTileRows, 1), widening(0, rows, kTileRows - 1);
  return kept.count() < widening.count();
}

RowTiles BF16Tiles(int64_t row0, int64_t row1) {
  if (!kFewRegisters) return RowTiles(row0, row1, kTileRows);
  // One row to spare: the tiles are not all as tall as can be, and so the first one is not.
  return WidenOnce(row1 - row0) ? RowTiles(row0, row1, kTileRows, 1)
                                : RowTiles(row0, row1, kTileRows - 1);
}

// Rows of A in the order of their tiles, and behind them a panel's share of bf16 weights as fp32.
int64_t PackedRows(int64_t rows) {
  constexpr int64_t kLowest = kFewRegisters ? kTileRows - 1 : kTileRows;
  return (rows + kLowest - 1) / kLowest * kTileRows * kPackedStride;
}
int64_t BlockScratchImpl(int64_t rows) { return PackedRows(rows) + TileColumns() * kDepthBlock; }

void ApplyEpilogueImpl(const MatMulOptions& options, int64_t row, int64_t rows, int64_t column,
                       int64_t columns, float* c, int64_t c_stride) {
  ApplyEpilogueTo(options, {row, rows, column, columns, c, c_stride});
}

void PackPanelsImpl(const MatrixView& b, int64_t first, int64_t last, float* out) {
  const int64_t width = TileColumns();
  for (int64_t panel = first; panel < last; ++panel) {
    PackPanel(b.rows, b.columns - panel * width, b.data + panel * width * b.column_stride,
              b.row_stride, b.column_stride, out + panel * width * b.rows);
  }
}

// Depth [k0, k1) of A's rows, kPackedStride apart; of a transposed A, whose columns lie together,
// each tile as [depth][kTileRows].
void PackRows(const MatrixView& a, const RowTiles& tiles, int64_t k0, int64_t k1, float* out) {
  for (int64_t tile = 0; tile < tiles.count(); ++tile) {
    const int64_t rows = tiles.Height(tile);
    const float* source = a.data + tiles.Begin(tile) * a.row_stride + k0 * a.column_stride;
    if (a.column_stride == 1) {
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(out + r * kPackedStride, source + r * a.row_stride,
                    static_cast<size_t>(k1 - k0) * sizeof(float));
      }
    } else {
      for (int64_t k = 0; k < k1 - k0; ++k) {
        for (int64_t r = 0; r < rows; ++r) {
          out[k * kTileRows + r] = source[r * a.row_stride + k * a.column_stride];
        }
      }
    }
    out += kTileRows * kPackedStride;
  }
}

// What the panels of a block share: one pass, over the depth [k0, k1).
struct Pass {
  const RowTiles& tiles;
  int64_t k0, k1;
  const float* packed;  // A's tiles, where they are packed
  float* widened;       // memory for a panel's share of bf16 weights, where one tile widens for all
};

// One tile of the panel at `column`.
template <class Weight>
HWY_INLINE void MultiplyOneTile(const MatMulJob& job, const Pass& pass, int64_t tile,
                                int64_t column, const Panel<Weight>& panel) {
  const int64_t columns = std::min(TileColumns(), job.columns - column);
  const int64_t depth = pass.k1 - pass.k0;
  const int64_t row = pass.tiles.Begin(tile);
  const int rows = pass.tiles.Height(tile);
  TileOfA a{job.a.data + row * job.a.row_stride + pass.k0, job.a.row_stride, 1};
  if (pass.packed != nullptr) {
    a = {pass.packed + tile * kTileRows * kPackedStride, kPackedStride, 1};
    if (job.a.column_stride != 1) a.row_stride = 1, a.depth_stride = kTileRows;
  }
  float* c = job.c + row * job.c_stride + column;
  TileRowsEdge(rows, columns, depth, a, panel, c, job.c_stride,
               pass.k0 > 0 || job.options.accumulate);
  if (pass.k1 == job.a.columns) {
    ApplyEpilogueTo(job.options, {row, rows, column, columns, c, job.c_stride});
  }
}

// One panel's share of C; Weight is how b's elements are stored.
template <class Weight>
void MultiplyPanel(const MatMulJob& job, const Pass& pass, int64_t index) {
  const int64_t width = TileColumns();
  const int64_t count = pass.tiles.count();
  const int64_t panel_depth = PaddedDepth<Weight>(job.a.columns);
  Panel<Weight> panel;
  panel.b = static_cast<const Weight*>(job.b) + (index * panel_depth + pass.k0) * width;
  // The fetch of the next panel's share is spread over this one's tiles.
  panel.next = panel.b + panel_depth * width;
  panel.next_step = std::max<int64_t>(1, width / count);
  const int64_t asked = (pass.k1 - pass.k0) * panel.next_step;
  if (std::is_same_v<Weight, BF16>) panel.widened = pass.widened;
  MultiplyOneTile(job, pass, 0, index * width, panel);
  for (int64_t tile = 1; tile < count; ++tile) {
    panel.next += asked;
    if (panel.widened == nullptr) {
      MultiplyOneTile(job, pass, tile, index * width, panel);
    } else {
      const Panel<float> wide{panel.widened, reinterpret_cast<const float*>(panel.next),
                              panel.next_step / 2};
      MultiplyOneTile(job, pass, tile, index * width, wide);
    }
  }
}

void MultiplyBlockImpl(const MatMulJob& job, int64_t row0, int64_t row1, int64_t panel0,
                       int64_t panel1, float* scratch) {
  if (row0 >= row1) return;
  const int64_t depth = job.a.columns;
  const bool bf16 = job.b_type == WeightType::kBF16;
  const bool widen_once = bf16 && WidenOnce(row1 - row0);
  const RowTiles tiles = bf16 ? BF16Tiles(row0, row1) : RowTiles(row0, row1, kTileRows);
  const bool collide = row1 - row0 >= kPackRows && job.a.row_stride % kSetFloats == 0;
  const bool pack = job.a.column_stride != 1 || collide;
  float* widened = widen_once ? scratch + PackedRows(row1 - row0) : nullptr;
  for (int64_t k0 = 0; k0 < depth || k0 == 0; k0 += kDepthBlock) {
    const Pass pass{tiles, k0, std::min(depth, k0 + kDepthBlock), pack ? scratch : nullptr,
                    widened};
    if (pack) PackRows(job.a, tiles, pass.k0, pass.k1, scratch);
    for (int64_t panel = panel0; panel < panel1; ++panel) {
      if (bf16) {
        MultiplyPanel<BF16>(job, pass, panel);
      } else {
        MultiplyPanel<float>(job, pass, panel);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bertie::kernels {

HWY_EXPORT(PanelColumnsImpl);
HWY_EXPORT(TileHeightImpl);
HWY_EXPORT(BlockScratchImpl);
HWY_EXPORT(PackPanelsImpl);
HWY_EXPORT(ApplyEpilogueImpl);
HWY_EXPORT(MultiplyBlockImpl);

int64_t PanelColumns() { return HWY_DYNAMIC_DISPATCH(PanelColumnsImpl)(); }
int64_t TileHeight() { return HWY_DYNAMIC_DISPATCH(TileHeightImpl)(); }
int64_t BlockScratch(int64_t rows) { return HWY_DYNAMIC_DISPATCH(BlockScratchImpl)(rows); }

void PackPanels(const MatrixView& b, int64_t first, int64_t last, float* out) {
  HWY_DYNAMIC_DISPATCH(PackPanelsImpl)(b, first, last, out);
}

void MultiplyBlock(const MatMulJob& job, int64_t row0, int64_t row1, int64_t panel0, int64_t panel1,
                   float* scratch) {
  HWY_DYNAMIC_DISPATCH(MultiplyBlockImpl)(job, row0, row1, panel0, panel1, scratch);
}

void ApplyEpilogue(const MatMulOptions& options, int64_t row, int64_t rows, int64_t column,
                   int64_t columns, float* c, int64_t c_stride) {
  if (options.epilogue == Epilogue::kNone) return;
  HWY_DYNAMIC_DISPATCH(ApplyEpilogueImpl)(options, row, rows, column, columns, c, c_stride);
}

}  // namespace bertie::kernels
#endif  // HWY_ONCE
