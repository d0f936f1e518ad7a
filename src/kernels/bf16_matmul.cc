#include "kernels/bf16_matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/amx_block.h"
#include "kernels/bf16_dot.h"
#include "kernels/matmul_tiles.h"
#include "kernels/row_tiles.h"
#include "kernels/x86_features.h"

namespace bertie::kernels {
namespace {

constexpr int64_t kWidth = 32;  // columns of a panel
static_assert(kWidth == kAmxWidth && kWidth == kBF16DotWidth);

// Sums [rows][kWidth] into C, as many columns as it has there.
void Place(const BF16Job& job, int64_t row, int rows, int64_t column, const float* sums) {
  const int64_t columns = std::min(kWidth, job.columns - column);
  float* c = job.c + row * job.c_stride + column;
  for (int r = 0; r < rows; ++r) {
    std::memcpy(c + r * job.c_stride, sums + r * kWidth,
                static_cast<size_t>(columns) * sizeof(float));
  }
  ApplyEpilogue(job.options, row, rows, column, columns, c, job.c_stride);
}

void MultiplyByAmx(const BF16Job& job, int64_t row0, int64_t row1, int64_t panel0, int64_t panel1) {
  const int64_t panel_bytes = PanelBytes(WeightType::kBF16, job.depth, {kWidth, 2});
  AmxBlock block(AmxType::kBF16, {job.a.data + row0 * job.a.stride, job.a.stride, row1 - row0,
                                  (job.depth + 1) / 2});
  for (int64_t p = panel0; p < panel1; ++p) {
    const std::byte* b = job.b + p * panel_bytes;
    block.Multiply(b, b + panel_bytes, [&](int64_t row, int rows, const std::byte* sums) {
      Place(job, row0 + row, rows, p * kWidth, reinterpret_cast<const float*>(sums));
    });
  }
}

void MultiplyByPairs(const BF16Job& job, int64_t row0, int64_t row1, int64_t panel0,
                     int64_t panel1) {
  const int64_t pairs = (job.depth + 1) / 2;
  const int64_t panel_bytes = PanelBytes(WeightType::kBF16, job.depth, {kWidth, 2});
  const RowTiles tiles(row0, row1, kBF16DotRows);
  for (int64_t p = panel0; p < panel1; ++p) {
    const std::byte* b = job.b + p * panel_bytes;
    const bool whole = (p + 1) * kWidth <= job.columns;
    // The fetch of the next panel is spread over this one's tiles.
    const std::byte* next = b + panel_bytes;
    const int64_t next_step = std::max<int64_t>(2, 4 * kWidth / tiles.count());
    for (int64_t tile = 0; tile < tiles.count(); ++tile) {
      const int64_t row = tiles.Begin(tile);
      const int rows = tiles.Height(tile);
      const std::byte* a = job.a.data + row * job.a.stride;
      if (whole) {
        float* c = job.c + row * job.c_stride + p * kWidth;
        BF16DotTile(rows, pairs, a, job.a.stride, b, c, job.c_stride, next, next_step);
        ApplyEpilogue(job.options, row, rows, p * kWidth, kWidth, c, job.c_stride);
      } else {
        float sums[kBF16DotRows * kWidth];
        BF16DotTile(rows, pairs, a, job.a.stride, b, sums, kWidth, next, next_step);
        Place(job, row, rows, p * kWidth, sums);
      }
      next += pairs * next_step;
    }
  }
}

}  // namespace

RoundedRows RoundRows(const MatrixView& a, Buffer& scratch, ThreadPool& pool) {
  const int64_t padded = (a.columns + 31) / 32 * 32;
  // A line more than a row, so that rows a multiple of 4 KiB long do not share their cache sets.
  const int64_t stride = 2 * padded + 64;
  auto* data = reinterpret_cast<std::byte*>(scratch.Resize(a.rows * stride / 4));
  // Fewer elements than this are done before another thread has woken.
  constexpr int64_t kTaskElements = 16384;
  const int64_t rows_a_task = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, a.columns));
  pool.ParallelFor((a.rows + rows_a_task - 1) / rows_a_task, [&](int64_t task, int) {
    const int64_t last = std::min(a.rows, (task + 1) * rows_a_task);
    for (int64_t row = task * rows_a_task; row < last; ++row) {
      RoundToBF16(a.columns, padded, a.data + row * a.row_stride, data + row * stride);
    }
  });
  return {data, stride};
}

void MultiplyBF16Block(const BF16Job& job, int64_t row0, int64_t row1, int64_t panel0,
                       int64_t panel1) {
  if (row0 >= row1) return;
  if (UseAmxBF16()) return MultiplyByAmx(job, row0, row1, panel0, panel1);
  MultiplyByPairs(job, row0, row1, panel0, panel1);
}

}  // namespace bertie::kernels
