#include "kernels/matmul.h"

#include <unistd.h>

#include <algorithm>

#include "base/ceil_div.h"
#include "kernels/amx_block.h"
#include "kernels/bf16_matmul.h"
#include "kernels/int8_matmul.h"
#include "kernels/matmul_tiles.h"
#include "kernels/onednn_matmul.h"
#include "kernels/x86_features.h"

namespace bertie::kernels {
namespace {

// Rows of one task: its share of A (144 KiB packed) stays in L2 while the panels of B pass by.
constexpr int64_t kBlockRows = 96;
// The same of quantised and of bf16 rows, which lie packed already: each block reads all of B anew.
constexpr int64_t kNarrowBlockRows = 132;

// What a block's rows of elements of so many bytes may take: two fifths of L2 for each byte, or of
// 1 MiB where its size is not told.
int64_t BlockBytes(int64_t element) {
  static const int64_t l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return (l2 > 0 ? l2 : int64_t{1} << 20) * 2 / 5 * element;
}

// Tasks for each worker, so that one that the machine holds up does not hold up the product.
constexpr int64_t kTasksPerWorker = 4;
constexpr int64_t kTaskPanels = 3;
// Below this oneDNN falls to 60 to 90 % of the peak, and our own kernel does not.
constexpr int64_t kOneDnnRows = 64;

// How a product is cut into tasks: blocks of rows in whole tiles, and groups of panels.
struct Split {
  int64_t rows, panels;  // of the product
  int64_t block;         // rows of a block
  int64_t blocks;
  int64_t group;  // panels of a group
  int64_t groups;
};

Split SplitProduct(int64_t rows, int64_t columns, int64_t most_rows, int64_t height,
                   int64_t workers) {
  Split split{rows, CeilDiv(columns, PanelColumns()), 0, 0, 0, 0};
  // Blocks of nearly equal height.
  const int64_t row_blocks = std::max<int64_t>(1, CeilDiv(rows, most_rows));
  split.block = std::max<int64_t>(1, CeilDiv(CeilDiv(rows, row_blocks), height)) * height;
  split.blocks = CeilDiv(rows, split.block);
  // Few rows: the panels are shared out instead. A multiple of the workers, since tasks of one
  // block take equally long; but of many blocks' tasks none is narrow, where each may pack its rows
  // anew.
  const int64_t blocks = std::max<int64_t>(1, split.blocks);
  const int64_t even = CeilDiv(kTasksPerWorker, blocks) * workers;
  const int64_t enough =
      std::max(CeilDiv(kTasksPerWorker * workers, blocks), split.panels / kTaskPanels);
  const int64_t wanted = workers == 1 ? 1 : std::min(even, enough);
  split.groups = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, split.panels));
  split.group = CeilDiv(split.panels, split.groups);
  return split;
}

// body(row0, row1, panel0, panel1, worker) for every task.
template <class Body>
void ForTasks(const Split& split, ThreadPool& pool, const Body& body) {
  pool.ParallelFor(split.blocks * split.groups, [&](int64_t task, int worker) {
    const int64_t row0 = task / split.groups * split.block;
    const int64_t panel0 = task % split.groups * split.group;
    if (panel0 >= split.panels) return;
    body(row0, std::min(split.rows, row0 + split.block), panel0,
         std::min(split.panels, panel0 + split.group), worker);
  });
}

void Run(const MatMulJob& job, MatMulScratch& scratch, ThreadPool& pool) {
  const Split split = SplitProduct(job.a.rows, job.columns, kBlockRows, TileHeight(), pool.size());
  const int64_t stride = BlockScratch(split.block);
  float* packed = scratch.packed_a.Resize(stride * pool.size());
  ForTasks(split, pool,
           [&](int64_t row0, int64_t row1, int64_t panel0, int64_t panel1, int worker) {
             MultiplyBlock(job, row0, row1, panel0, panel1, packed + worker * stride);
           });
}

// Where a product goes, and what is done to it there.
struct MatMulTarget {
  float* c;
  int64_t c_stride;
  const MatMulOptions& options;
};

// multiply(job, row0, row1, panel0, panel1) for every task.
template <class Rows, class Multiply>
void RunPacked(const Rows& a, int64_t rows, const PackedMatrix& b, const MatMulTarget& target,
               bool amx, ThreadPool& pool, const Multiply& multiply) {
  const PackedJob<Rows> job{a,        b.depth(),       b.bytes().data(), b.columns(),
                            target.c, target.c_stride, target.options};
  const int64_t height = amx ? 2 * kAmxRows : TileHeight();
  const int64_t element = b.type() == WeightType::kI8 ? 1 : 2;
  const int64_t most_rows =
      std::clamp<int64_t>(BlockBytes(element) / a.stride, 1, kNarrowBlockRows);
  const Split split = SplitProduct(rows, b.columns(), most_rows, height, pool.size());
  ForTasks(split, pool, [&](int64_t row0, int64_t row1, int64_t panel0, int64_t panel1, int) {
    multiply(job, row0, row1, panel0, panel1);
  });
}

// Packs b as fp32 panels.
void PackAll(const MatrixView& b, float* out, ThreadPool& pool) {
  const int64_t panels = CeilDiv(b.columns, PanelColumns());
  const int64_t tasks = std::min<int64_t>(panels, pool.size() * kTasksPerWorker);
  const int64_t group = CeilDiv(panels, std::max<int64_t>(1, tasks));
  pool.ParallelFor(tasks, [&](int64_t task, int) {
    PackPanels(b, std::min(panels, task * group), std::min(panels, (task + 1) * group), out);
  });
}

const char* VectorInstructions() {
  switch (PanelColumns()) {
    case 32:
      return "avx512";
    case 16:
      return "avx2";
    case 8:
      return "sse4";
    default:
      return "scalar";
  }
}

}  // namespace

const char* Instructions(WeightType type) {
  switch (type) {
    case WeightType::kF32:
      break;
    case WeightType::kBF16:
      if (UseBF16Dot()) return UseAmxBF16() ? "amx" : "avx512_bf16";
      break;
    case WeightType::kI8:
      if (UseVnni()) return UseAmxInt8() ? "amx" : "avx512_vnni";
      break;
  }
  return VectorInstructions();
}

void MatMul(const MatrixView& a, const PackedMatrix& b, float* c, int64_t c_stride,
            const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool) {
  const MatMulTarget target{c, c_stride, options};
  if (b.type() == WeightType::kI8) {
    return RunPacked(QuantizeRows(a, scratch.quantized_a, pool), a.rows, b, target,
                     UseAmxInt8() && a.rows >= kAmxRows, pool, MultiplyInt8Block);
  }
  if (b.type() == WeightType::kBF16 && UseBF16Dot()) {
    return RunPacked(RoundRows(a, scratch.quantized_a, pool), a.rows, b, target, UseAmxBF16(), pool,
                     MultiplyBF16Block);
  }
  Run({a, b.bytes().data(), b.type(), b.columns(), c, c_stride, options}, scratch, pool);
}

void MatMul(const MatrixView& a, const MatrixView& b, float* c, int64_t c_stride,
            const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool) {
  const bool plain = options.epilogue == Epilogue::kNone || options.epilogue == Epilogue::kBias;
  if (plain && a.rows >= kOneDnnRows && UseOneDnn()) {
    OneDnnMatMul(a, b, c, c_stride, options, pool);
    return;
  }
  const PanelLayout layout = NativeLayout(WeightType::kF32);
  float* packed =
      scratch.packed_b.Resize(PackedBytes(WeightType::kF32, b.rows, b.columns, layout) / 4);
  PackAll(b, packed, pool);
  Run({a, packed, WeightType::kF32, b.columns, c, c_stride, options}, scratch, pool);
}

}  // namespace bertie::kernels
