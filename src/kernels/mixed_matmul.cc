#include "kernels/mixed_matmul.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <string_view>

#include "kernels/bf16.h"
#include "kernels/onednn_matmul.h"
#include "kernels/x86_features.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/mixed_matmul.cc"
#include "kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void RoundRange(int64_t count, const float* x, uint16_t* out) {
  const hn::ScalableTag<uint32_t> d;
  const hn::Rebind<float, decltype(d)> df;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto half = hn::Set(d, 0x7fffu);
  const auto one = hn::Set(d, 1u);
  const auto infinity = hn::Set(d, 0x7f800000u);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::BitCast(d, hn::LoadU(df, x + i));
    const auto odd = hn::And(hn::ShiftRight<16>(bits), one);
    const auto rounded = hn::Add(bits, hn::Add(half, odd));
    const auto is_nan = hn::Gt(hn::And(bits, hn::Set(d, 0x7fffffffu)), infinity);
    const auto kept = hn::IfThenElse(is_nan, hn::Or(bits, hn::Set(d, 0x400000u)), rounded);
    // The upper halves as signed numbers fit the saturating narrowing exactly.
    const hn::RebindToSigned<decltype(d)> di;
    const hn::RebindToSigned<decltype(d16)> di16;
    hn::StoreU(hn::BitCast(d16, hn::DemoteTo(di16, hn::ShiftRight<16>(hn::BitCast(di, kept)))), d16,
               out + i);
  }
  for (; i < count; ++i) out[i] = ToBF16(x[i]);
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bertie::kernels {

HWY_EXPORT(RoundRange);

namespace {

enum class Mode { kNone, kNative, kEmulated };

Mode CurrentMode() {
  static const Mode mode = [] {
    const char* asked = std::getenv("BERTIE_BF16");
    if (asked != nullptr && std::string_view(asked) == "emulate") return Mode::kEmulated;
    return UseBF16Dot() ? Mode::kNative : Mode::kNone;
  }();
  return mode;
}

// A matrix's memory as contiguous runs: its rows, or where these are strided its columns.
struct Runs {
  int64_t count, length, stride;
  bool transposed;
};

Runs RunsOf(const MatrixView& view) {
  assert(view.column_stride == 1 || view.row_stride == 1);
  if (view.column_stride == 1) return {view.rows, view.columns, view.row_stride, false};
  return {view.columns, view.rows, view.column_stride, true};
}

// round(from, run) for every run of the matrix; runs become dense.
template <class Out, class Round>
void ForRuns(const MatrixView& view, Out* out, ThreadPool& pool, const Round& round) {
  const Runs runs = RunsOf(view);
  constexpr int64_t kElements = 1 << 14;
  const int64_t group = std::max<int64_t>(1, kElements / std::max<int64_t>(1, runs.length));
  pool.ParallelFor((runs.count + group - 1) / group, [&](int64_t task, int) {
    for (int64_t i = task * group; i < std::min(runs.count, (task + 1) * group); ++i) {
      round(runs.length, view.data + i * runs.stride, out + i * runs.length);
    }
  });
}

BF16View Round(const MatrixView& view, Buffer& memory, ThreadPool& pool) {
  auto* out = reinterpret_cast<uint16_t*>(memory.Resize((view.rows * view.columns + 1) / 2));
  ForRuns(view, out, pool, RoundRunToBF16);
  const Runs runs = RunsOf(view);
  const BF16View dense{out, runs.count, runs.length, runs.length, 1};
  return runs.transposed ? dense.Transposed() : dense;
}

MatrixView RoundInFloat(const MatrixView& view, Buffer& memory, ThreadPool& pool) {
  float* out = memory.Resize(view.rows * view.columns);
  ForRuns(view, out, pool, [](int64_t count, const float* from, float* to) {
    for (int64_t i = 0; i < count; ++i) to[i] = FromBF16(ToBF16(from[i]));
  });
  const Runs runs = RunsOf(view);
  const MatrixView dense = RowMajor(out, runs.count, runs.length);
  return runs.transposed ? dense.Transposed() : dense;
}

}  // namespace

bool UseBF16() { return CurrentMode() != Mode::kNone; }

void RoundRunToBF16(int64_t count, const float* x, uint16_t* out) {
  HWY_DYNAMIC_DISPATCH(RoundRange)(count, x, out);
}

void MixedMatMul(const MatrixView& a, const MatrixView& b, float* c, int64_t c_stride,
                 const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool) {
  if (CurrentMode() == Mode::kNative) {
    const BF16View rounded_a = Round(a, scratch.rounded_a, pool);
    OneDnnMatMul(rounded_a, Round(b, scratch.rounded_b, pool), c, c_stride, options, pool);
    return;
  }
  MatMulOptions floats = options;
  floats.bf16 = false;
  const MatrixView rounded_a = RoundInFloat(a, scratch.rounded_a, pool);
  MatMul(rounded_a, RoundInFloat(b, scratch.rounded_b, pool), c, c_stride, floats, scratch, pool);
}

}  // namespace bertie::kernels
#endif  // HWY_ONCE
