// How rows of a product are cut into tiles.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bertie::kernels {

// Rows [row0, row1) cut into tiles of nearly equal height, `tallest` at most: eight rows are two
// tiles of four, not six and two, since a tile of fewer than four rows waits for its own sums. The
// lower tiles come first.
class RowTiles {
 public:
  RowTiles(int64_t row0, int64_t row1, int64_t tallest, int64_t spare = 0)
      : row0_(row0),
        count_((row1 - row0 + spare + tallest - 1) / tallest),
        base_((row1 - row0) / count_),
        lower_(count_ - (row1 - row0) % count_) {}

  int64_t count() const { return count_; }
  int64_t Begin(int64_t tile) const {
    return row0_ + tile * base_ + std::max<int64_t>(0, tile - lower_);
  }
  int Height(int64_t tile) const { return static_cast<int>(base_ + (tile < lower_ ? 0 : 1)); }

 private:
  int64_t row0_, count_, base_, lower_;
};

}  // namespace bertie::kernels
