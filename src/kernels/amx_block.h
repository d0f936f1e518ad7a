// Products on Intel's AMX (Sapphire Rapids and later), whose tiles are 16 rows of 64 bytes: one
// instruction multiplies 16 rows by 16 columns over 16 groups, of four bytes or of two bf16 each.
// Panels are those of VNNI and AVX512_BF16: a tile of B is a half of 16 of their rows.
//
// The order of a row's sums does not depend on the rows beside it. It is another one than
// vdpbf16ps's, so that bf16 products take one or the other for all numbers of rows.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace bertie::kernels {

inline constexpr int64_t kAmxRows = 16;   // of a tile
inline constexpr int64_t kAmxWidth = 32;  // columns of a panel

enum class AmxType {
  kInt8,  // unsigned times signed bytes, summed in int32
  kBF16,  // summed in fp32
};

struct AmxRowsOfA {
  const std::byte* data = nullptr;  // [rows][groups] of four bytes, zeros up to a multiple of 64
  int64_t stride = 0;               // bytes from row to row
  int64_t rows = 0;                 // 1 or more
  int64_t groups = 0;
};

// Rows of A, to be multiplied by panel after panel on the thread that made it, which has no other
// one at that time. Only where UseAmxInt8() or UseAmxBF16() (x86_features.h).
class AmxBlock {
 public:
  AmxBlock(AmxType type, const AmxRowsOfA& a);
  ~AmxBlock();  // puts the thread's tiles back, whose state would slow its switches
  AmxBlock(const AmxBlock&) = delete;
  AmxBlock& operator=(const AmxBlock&) = delete;

  // finish(row, rows, sums) for all rows of A, a few at a time; sums is [rows][kAmxWidth] of
  // int32_t or float, valid during the call. panel is [groups][kAmxWidth] of four bytes. Asks for
  // as many bytes at next meanwhile.
  template <class Finish>
  void Multiply(const std::byte* panel, const std::byte* next, const Finish& finish) {
    StartPanel(panel, next);
    for (int64_t tile = 0; tile < count_; tile += 2) {
      const int64_t tiles = std::min<int64_t>(2, count_ - tile);
      MultiplyTiles(tile, tiles);
      for (int64_t i = 0; i < tiles; ++i) {
        const int64_t row = (tile + i) * height_;
        const int64_t known = row - Begin(tile + i);
        finish(row, static_cast<int>(height_ - known),
               sums_.data() + (i * kAmxRows + known) * kAmxWidth * 4);
      }
    }
  }

 private:
  // All tiles have one height, since another one costs a new configuration; the last begins among
  // the rows of the one before it.
  int64_t Begin(int64_t tile) const { return std::min(tile * height_, a_.rows - height_); }
  void StartPanel(const std::byte* panel, const std::byte* next);
  void MultiplyTiles(int64_t tile, int64_t tiles);

  const AmxType type_;
  const AmxRowsOfA a_;
  const int64_t count_, height_;  // tiles of A, and the rows of each
  const std::byte* panel_ = nullptr;
  const std::byte* next_ = nullptr;
  alignas(64) std::array<std::byte, 2 * kAmxRows * kAmxWidth * 4> sums_;
  // The panel's last groups, filled up with zeros to a whole tile.
  alignas(64) std::array<std::byte, 16 * kAmxWidth * 4> tail_;
};

}  // namespace bertie::kernels
