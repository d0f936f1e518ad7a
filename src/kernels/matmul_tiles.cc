#include "kernels/matmul_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_tiles.cc"
#include "kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/microkernel-inl.h"
#include "kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {

// Depth of one pass: a panel's share (24 KiB on AVX2) and a tile of A fit in L1 together.
constexpr int64_t kDepthBlock = 384;
// From this many rows on it pays to copy A into the order in which tiles read it: rows of A lie a
// multiple of 4 KiB apart in BERT's shapes, so that a tile's rows fight for the same cache sets.
constexpr int64_t kPackRows = 2 * kTileRows + 1;

int64_t PanelColumnsImpl() { return TileColumns(); }
int64_t TileHeightImpl() { return kTileRows; }
int64_t BlockScratchImpl(int64_t rows) {
  return (rows + kTileRows - 1) / kTileRows * kTileRows * kDepthBlock;
}

void PackPanelsImpl(const MatrixView& b, int64_t first, int64_t last, float* out) {
  const int64_t width = TileColumns();
  for (int64_t panel = first; panel < last; ++panel) {
    PackPanel(b.rows, b.columns - panel * width, b.data + panel * width * b.column_stride,
              b.row_stride, b.column_stride, out + panel * width * b.rows);
  }
}

// Rows [row0, row1) cut into tiles of nearly equal height: eight rows are two tiles of four, not
// six and two, since a tile of fewer than four rows waits for its own sums.
class RowTiles {
 public:
  RowTiles(int64_t row0, int64_t row1)
      : row0_(row0),
        count_((row1 - row0 + kTileRows - 1) / kTileRows),
        base_((row1 - row0) / count_),
        taller_((row1 - row0) % count_) {}

  int64_t count() const { return count_; }
  int64_t Begin(int64_t tile) const { return row0_ + tile * base_ + std::min(tile, taller_); }
  int Height(int64_t tile) const { return static_cast<int>(base_ + (tile < taller_ ? 1 : 0)); }

 private:
  int64_t row0_, count_, base_, taller_;
};

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

void ApplyEpilogue(const MatMulOptions& options, int64_t row, int64_t rows, int64_t column,
                   int64_t columns, float* c, int64_t c_stride) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < columns; j += lanes) {
    const int64_t n = std::min(lanes, columns - j);
    // The tail goes through a padded copy: the same arithmetic, so the same bits.
    HWY_ALIGN float tail[kMaxTileColumns] = {};
    auto load = [&](const float* from) {
      if (n == lanes) return hn::LoadU(d, from);
      std::memcpy(tail, from, static_cast<size_t>(n) * sizeof(float));
      return hn::Load(d, tail);
    };
    const auto bias = load(options.bias + column + j);
    for (int64_t r = 0; r < rows; ++r) {
      float* to = c + r * c_stride + j;
      auto value = hn::Add(load(to), bias);
      if (options.epilogue == Epilogue::kBiasGelu) {
        value = Gelu(d, value);
      } else if (options.epilogue == Epilogue::kBiasResidual) {
        value = hn::Add(value,
                        load(options.residual + (row + r) * options.residual_stride + column + j));
      }
      if (n == lanes) {
        hn::StoreU(value, d, to);
      } else {
        hn::Store(value, d, tail);
        std::memcpy(to, tail, static_cast<size_t>(n) * sizeof(float));
      }
    }
  }
}

// One panel's share of C, [k0, k1) of the sums.
void MultiplyPanel(const MatMulJob& job, const RowTiles& tiles, int64_t panel, int64_t k0,
                   int64_t k1, const float* packed) {
  const MatrixView& a = job.a;
  const int64_t depth = a.columns;
  const int64_t width = TileColumns();
  const int64_t column = panel * width;
  const int64_t columns = std::min(width, job.columns - column);
  const float* b = job.b + (panel * depth + k0) * width;
  // The fetch of the next panel's share is spread over this one's tiles.
  const int64_t next_step = std::max<int64_t>(1, width / tiles.count());
  const float* next = b + depth * width;
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
      ApplyEpilogue(job.options, row, rows, column, columns, c, job.c_stride);
    }
  }
}

void MultiplyBlockImpl(const MatMulJob& job, int64_t row0, int64_t row1, int64_t panel0,
                       int64_t panel1, float* scratch) {
  if (row0 >= row1) return;
  const int64_t depth = job.a.columns;
  const RowTiles tiles(row0, row1);
  const bool pack = job.a.column_stride != 1 || row1 - row0 >= kPackRows;
  for (int64_t k0 = 0; k0 < depth || k0 == 0; k0 += kDepthBlock) {
    const int64_t k1 = std::min(depth, k0 + kDepthBlock);
    if (pack) PackRows(job.a, tiles, k0, k1, scratch);
    for (int64_t panel = panel0; panel < panel1; ++panel) {
      MultiplyPanel(job, tiles, panel, k0, k1, pack ? scratch : nullptr);
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

}  // namespace bertie::kernels
#endif  // HWY_ONCE
