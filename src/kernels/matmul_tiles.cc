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
// From this many rows on it pays to copy A into the order in which tiles read it: rows of A lie a
// multiple of 4 KiB apart in BERT's shapes, so that a tile's rows fight for the same cache sets.
constexpr int64_t kPackRows = 2 * kTileRows + 1;

int64_t PanelColumnsImpl() { return TileColumns(); }
int64_t TileHeightImpl() { return kTileRows; }
int64_t BlockScratchImpl(int64_t rows) {
  constexpr int64_t kTile = TallestTile<BF16>();  // the most tiles that rows may be cut into
  return (rows + kTile - 1) / kTile * kTileRows * kDepthBlock;
}

void ApplyEpilogueImpl(const MatMulOptions& options, int64_t row, int64_t rows, int64_t column,
                       int64_t columns, float* c, int64_t c_stride) {
  ApplyEpilogueTo(options, row, rows, column, columns, c, c_stride);
}

void PackPanelsImpl(const MatrixView& b, int64_t first, int64_t last, float* out) {
  const int64_t width = TileColumns();
  for (int64_t panel = first; panel < last; ++panel) {
    PackPanel(b.rows, b.columns - panel * width, b.data + panel * width * b.column_stride,
              b.row_stride, b.column_stride, out + panel * width * b.rows);
  }
}

// Depth [k0, k1) of A's tiles, each as [depth][kTileRows].
void PackRows(const MatrixView& a, const RowTiles& tiles, int64_t k0, int64_t k1, float* out) {
  for (int64_t tile = 0; tile < tiles.count(); ++tile) {
    const int64_t rows = tiles.Height(tile);
    const float* source = a.data + tiles.Begin(tile) * a.row_stride + k0 * a.column_stride;
    for (int64_t k = 0; k < k1 - k0; ++k) {
      for (int64_t r = 0; r < rows; ++r) {
        out[k * kTileRows + r] = source[r * a.row_stride + k * a.column_stride];
      }
    }
    out += kTileRows * (k1 - k0);
  }
}

// One panel's share of C, [k0, k1) of the sums; Weight is how b's elements are stored.
template <class Weight>
void MultiplyPanel(const MatMulJob& job, const RowTiles& tiles, int64_t panel, int64_t k0,
                   int64_t k1, const float* packed) {
  const MatrixView& a = job.a;
  const int64_t depth = a.columns;
  const int64_t width = TileColumns();
  const int64_t column = panel * width;
  const int64_t columns = std::min(width, job.columns - column);
  const int64_t padded_depth = PaddedDepth<Weight>(depth);
  const Weight* b = static_cast<const Weight*>(job.b) + (panel * padded_depth + k0) * width;
  // The fetch of the next panel's share is spread over this one's tiles.
  const int64_t next_step = std::max<int64_t>(1, width / tiles.count());
  const Weight* next = b + padded_depth * width;
  const bool accumulate = k0 > 0 || job.options.accumulate;
  for (int64_t tile = 0; tile < tiles.count(); ++tile) {
    const int64_t row = tiles.Begin(tile);
    const int rows = tiles.Height(tile);
    float* c = job.c + row * job.c_stride + column;
    if (packed != nullptr) {
      TileRowsEdge(rows, columns, k1 - k0, packed + tile * kTileRows * (k1 - k0), 1, kTileRows, b,
                   c, job.c_stride, accumulate, next, next_step);
    } else {
      TileRowsEdge(rows, columns, k1 - k0, a.data + row * a.row_stride + k0, a.row_stride, 1, b, c,
                   job.c_stride, accumulate, next, next_step);
    }
    next += (k1 - k0) * next_step;
    if (k1 == depth && job.options.epilogue != Epilogue::kNone) {
      ApplyEpilogueTo(job.options, row, rows, column, columns, c, job.c_stride);
    }
  }
}

void MultiplyBlockImpl(const MatMulJob& job, int64_t row0, int64_t row1, int64_t panel0,
                       int64_t panel1, float* scratch) {
  if (row0 >= row1) return;
  const int64_t depth = job.a.columns;
  const bool bf16 = job.b_type == WeightType::kBF16;
  const RowTiles tiles(row0, row1, bf16 ? TallestTile<BF16>() : TallestTile<float>());
  const bool pack = job.a.column_stride != 1 || row1 - row0 >= kPackRows;
  for (int64_t k0 = 0; k0 < depth || k0 == 0; k0 += kDepthBlock) {
    const int64_t k1 = std::min(depth, k0 + kDepthBlock);
    if (pack) PackRows(job.a, tiles, k0, k1, scratch);
    for (int64_t panel = panel0; panel < panel1; ++panel) {
      const float* packed = pack ? scratch : nullptr;
      if (bf16) {
        MultiplyPanel<BF16>(job, tiles, panel, k0, k1, packed);
      } else {
        MultiplyPanel<float>(job, tiles, panel, k0, k1, packed);
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
