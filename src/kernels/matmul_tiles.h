// The parts of a matrix product that depend on the instruction set; matmul.cc splits the work.
#pragma once

#include <cstdint>

#include "kernels/matmul.h"

namespace bertie::kernels {

// A product ready to run: b is in panels.
struct MatMulJob {
  MatrixView a;
  // Panels as NativeLayout(b_type) has them; kF32 or kBF16.
  const void* b = nullptr;
  WeightType b_type = WeightType::kF32;
  int64_t columns = 0;
  float* c = nullptr;
  int64_t c_stride = 0;
  MatMulOptions options;
};

// Columns of B in one panel, and rows of A in one tile, on this processor.
int64_t PanelColumns();
int64_t TileHeight();
// Floats of scratch that MultiplyBlock needs for `rows` rows.
int64_t BlockScratch(int64_t rows);

// Packs panels [first, last) of b; out is where panel 0 begins.
void PackPanels(const MatrixView& b, int64_t first, int64_t last, float* out);

// Rows [row0, row1) and panels [panel0, panel1) of C, with the epilogue.
void MultiplyBlock(const MatMulJob& job, int64_t row0, int64_t row1, int64_t panel0, int64_t panel1,
                   float* scratch);

// options.epilogue on rows [row, row + rows) and columns [column, column + columns) of C, the first
// of them at c.
void ApplyEpilogue(const MatMulOptions& options, int64_t row, int64_t rows, int64_t column,
                   int64_t columns, float* c, int64_t c_stride);

}  // namespace bertie::kernels
