#include "kernels/amx_block.h"

#include <immintrin.h>

#include <cstring>

#include "base/ceil_div.h"

#define BERTIE_AMX __attribute__((target("amx-tile,amx-int8,amx-bf16")))

namespace bertie::kernels {
namespace {

constexpr int64_t kGroups = 16;                      // of a tile
constexpr int64_t kRowBytes = kAmxWidth * 4;         // of a panel
constexpr int64_t kStepBytes = kGroups * kRowBytes;  // of a panel, in one step

// What LDTILECFG reads (Intel's manual, volume 1, 18.2).
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0 to 3 hold sums, 4 and 5 rows of A, 6 and 7 the two halves of a panel.
BERTIE_AMX void Configure(int64_t height) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = static_cast<uint8_t>(tile < 6 ? height : kGroups);
  }
  // Compilers may know tile instructions as ones that touch no memory.
  asm volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
}

BERTIE_AMX void Release() { _tile_release(); }

// kTiles tiles of A, and what lies under them.
struct Operands {
  const std::byte* a0;
  const std::byte* a1;
  int64_t a_stride;
  int64_t steps;  // whole ones
  const std::byte* b;
  const std::byte* tail;  // absent where the steps are all
  const std::byte* next;
  int64_t next_step;  // bytes to ask for in each step
};

template <AmxType kType, int kTiles>
BERTIE_AMX inline __attribute__((always_inline)) void Step(const std::byte* a0, const std::byte* a1,
                                                           int64_t a_stride, const std::byte* b) {
  _tile_loadd(6, b, kRowBytes);
  _tile_loadd(7, b + 64, kRowBytes);
  _tile_loadd(4, a0, a_stride);
  if constexpr (kType == AmxType::kInt8) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
  } else {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
  }
  if constexpr (kTiles == 2) {
    _tile_loadd(5, a1, a_stride);
    if constexpr (kType == AmxType::kInt8) {
      _tile_dpbusd(2, 5, 6);
      _tile_dpbusd(3, 5, 7);
    } else {
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
}

template <AmxType kType, int kTiles>
BERTIE_AMX void Product(const Operands& x, std::byte* sums) {
  asm volatile("" : : : "memory");  // see Configure
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTiles == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
  const std::byte* next = x.next;
  for (int64_t step = 0; step < x.steps; ++step) {
    for (int64_t line = 0; line < x.next_step; line += 64) __builtin_prefetch(next + line);
    next += x.next_step;
    Step<kType, kTiles>(x.a0 + 64 * step, x.a1 + 64 * step, x.a_stride, x.b + kStepBytes * step);
  }
  if (x.tail != nullptr) {
    Step<kType, kTiles>(x.a0 + 64 * x.steps, x.a1 + 64 * x.steps, x.a_stride, x.tail);
  }
  _tile_stored(0, sums, kRowBytes);
  _tile_stored(1, sums + 64, kRowBytes);
  if constexpr (kTiles == 2) {
    _tile_stored(2, sums + kAmxRows * kRowBytes, kRowBytes);
    _tile_stored(3, sums + kAmxRows * kRowBytes + 64, kRowBytes);
  }
  asm volatile("" : : : "memory");
}

}  // namespace

AmxBlock::AmxBlock(AmxType type, const AmxRowsOfA& a)
    : type_(type), a_(a), count_(CeilDiv(a.rows, kAmxRows)), height_(CeilDiv(a.rows, count_)) {
  Configure(height_);
}

AmxBlock::~AmxBlock() { Release(); }

void AmxBlock::StartPanel(const std::byte* panel, const std::byte* next) {
  panel_ = panel;
  next_ = next;
  const int64_t left = a_.groups % kGroups;
  if (left == 0) return;
  std::memcpy(tail_.data(), panel + (a_.groups - left) * kRowBytes,
              static_cast<size_t>(left * kRowBytes));
  std::memset(tail_.data() + left * kRowBytes, 0,
              static_cast<size_t>((kGroups - left) * kRowBytes));
}

void AmxBlock::MultiplyTiles(int64_t tile, int64_t tiles) {
  Operands x;
  x.a0 = a_.data + Begin(tile) * a_.stride;
  x.a1 = a_.data + Begin(tile + tiles - 1) * a_.stride;
  x.a_stride = a_.stride;
  x.steps = a_.groups / kGroups;
  x.b = panel_;
  x.tail = a_.groups % kGroups != 0 ? tail_.data() : nullptr;
  x.next = next_;
  // The fetch of the next panel is spread over this one's tiles.
  x.next_step = CeilDiv(kStepBytes / 64, CeilDiv(count_, 2)) * 64;
  next_ += x.steps * x.next_step;
  const bool one = tiles == 1;
  if (type_ == AmxType::kInt8) {
    return one ? Product<AmxType::kInt8, 1>(x, sums_.data())
               : Product<AmxType::kInt8, 2>(x, sums_.data());
  }
  return one ? Product<AmxType::kBF16, 1>(x, sums_.data())
             : Product<AmxType::kBF16, 2>(x, sums_.data());
}

}  // namespace bertie::kernels
