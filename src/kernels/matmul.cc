#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/matmul_tiles.h"
#include "kernels/onednn_matmul.h"

namespace bertie::kernels {
namespace {

// Rows of one task: its packed share of A (144 KiB) stays in L2 while the panels of B pass by.
constexpr int64_t kBlockRows = 96;
// Tasks for each worker, so that one that the machine holds up does not hold up the product.
constexpr int64_t kTasksPerWorker = 4;
// Below this oneDNN falls to 60 to 90 % of the peak, and our own kernel does not.
constexpr int64_t kOneDnnRows = 64;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

void Run(const MatMulJob& job, MatMulScratch& scratch, ThreadPool& pool) {
  const int64_t height = TileHeight();
  const int64_t rows = job.a.rows;
  const int64_t panels = CeilDiv(job.columns, PanelColumns());
  const int64_t workers = pool.size();
  // Blocks of nearly equal height, in whole tiles.
  const int64_t row_blocks = std::max<int64_t>(1, CeilDiv(rows, kBlockRows));
  const int64_t block = std::max<int64_t>(1, CeilDiv(CeilDiv(rows, row_blocks), height)) * height;
  const int64_t blocks = CeilDiv(rows, block);
  // Few rows: the panels are shared out instead.
  const int64_t wanted = workers == 1 ? 1 : workers * kTasksPerWorker;
  const int64_t groups = std::clamp<int64_t>(CeilDiv(wanted, std::max<int64_t>(1, blocks)), 1,
                                             std::max<int64_t>(1, panels));
  const int64_t group = CeilDiv(panels, groups);
  const int64_t stride = BlockScratch(block);
  float* packed = scratch.packed_a.Resize(stride * workers);
  pool.ParallelFor(blocks * groups, [&](int64_t task, int worker) {
    const int64_t row0 = task / groups * block;
    const int64_t panel0 = task % groups * group;
    if (panel0 >= panels) return;
    MultiplyBlock(job, row0, std::min(rows, row0 + block), panel0, std::min(panels, panel0 + group),
                  packed + worker * stride);
  });
}

void PackAll(const MatrixView& b, float* out, ThreadPool& pool) {
  const int64_t panels = CeilDiv(b.columns, PanelColumns());
  const int64_t tasks = std::min<int64_t>(panels, pool.size() * kTasksPerWorker);
  const int64_t group = CeilDiv(panels, std::max<int64_t>(1, tasks));
  pool.ParallelFor(tasks, [&](int64_t task, int) {
    PackPanels(b, std::min(panels, task * group), std::min(panels, (task + 1) * group), out);
  });
}

int64_t PackedFloats(const MatrixView& b) {
  return CeilDiv(b.columns, PanelColumns()) * PanelColumns() * b.rows;
}

}  // namespace

PackedMatrix PackedMatrix::Pack(const MatrixView& b, ThreadPool& pool) {
  PackedMatrix packed;
  packed.depth_ = b.rows;
  packed.columns_ = b.columns;
  PackAll(b, packed.data_.Resize(PackedFloats(b)), pool);
  return packed;
}

void MatMul(const MatrixView& a, const PackedMatrix& b, float* c, int64_t c_stride,
            const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool) {
  Run({a, b.data(), b.columns(), c, c_stride, options}, scratch, pool);
}

void MatMul(const MatrixView& a, const MatrixView& b, float* c, int64_t c_stride,
            const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool) {
  const bool plain = options.epilogue == Epilogue::kNone || options.epilogue == Epilogue::kBias;
  if (plain && a.rows >= kOneDnnRows && UseOneDnn()) {
    OneDnnMatMul(a, b, c, c_stride, options, pool);
    return;
  }
  float* packed = scratch.packed_b.Resize(PackedFloats(b));
  PackAll(b, packed, pool);
  Run({a, packed, b.columns, c, c_stride, options}, scratch, pool);
}

}  // namespace bertie::kernels
