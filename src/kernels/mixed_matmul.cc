#include "kernels/mixed_matmul.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <string_view>

#include "kernels/bf16.h"
#include "kernels/bf16_dot.h"
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

template <class T>
Runs RunsOf(const StridedView<T>& view) {
  assert(view.column_stride == 1 || view.row_stride == 1);
  if (view.column_stride == 1) return {view.rows, view.columns, view.row_stride, false};
  return {view.columns, view.rows, view.column_stride, true};
}

// body(run) for every run of so many elements, on the pool.
template <class Body>
void ForRuns(const Runs& runs, ThreadPool& pool, const Body& body) {
  constexpr int64_t kElements = 1 << 14;
  const int64_t group = std::max<int64_t>(1, kElements / std::max<int64_t>(1, runs.length));
  pool.ParallelFor((runs.count + group - 1) / group, [&](int64_t task, int) {
    for (int64_t i = task * group; i < std::min(runs.count, (task + 1) * group); ++i) body(i);
  });
}

template <class Out>
StridedView<Out> Dense(const Runs& runs, const Out* data) {
  const StridedView<Out> dense{data, runs.count, runs.length, runs.length, 1};
  return runs.transposed ? dense.Transposed() : dense;
}

MatrixView Widen(const BF16View& view, Buffer& memory, ThreadPool& pool) {
  float* out = memory.Resize(view.rows * view.columns);
  const Runs runs = RunsOf(view);
  ForRuns(runs, pool, [&](int64_t run) {
    for (int64_t i = 0; i < runs.length; ++i) {
      out[run * runs.length + i] = FromBF16(view.data[run * runs.stride + i]);
    }
  });
  return Dense(runs, out);
}

}  // namespace

bool UseBF16() { return CurrentMode() != Mode::kNone; }

void RoundRunToBF16(int64_t count, const float* x, uint16_t* out) {
  if (UseBF16Dot()) return RoundToBF16(count, count, x, reinterpret_cast<std::byte*>(out));
  HWY_DYNAMIC_DISPATCH(RoundRange)(count, x, out);
}

BF16View RoundMatrix(const MatrixView& view, Buffer& memory, ThreadPool& pool) {
  auto* out = reinterpret_cast<uint16_t*>(memory.Resize((view.rows * view.columns + 1) / 2));
  const Runs runs = RunsOf(view);
  ForRuns(runs, pool, [&](int64_t run) {
    RoundRunToBF16(runs.length, view.data + run * runs.stride, out + run * runs.length);
  });
  return Dense(runs, out);
}

void MixedMatMul(const BF16View& a, const BF16View& b, float* c, int64_t c_stride,
                 const MatMulOptions& options, MatMulScratch& scratch, ThreadPool& pool) {
  if (CurrentMode() == Mode::kNative) return OneDnnMatMul(a, b, c, c_stride, options, pool);
  const MatrixView wide_a = Widen(a, scratch.widened_a, pool);
  MatMul(wide_a, Widen(b, scratch.widened_b, pool), c, c_stride, options, scratch, pool);
}

}  // namespace bertie::kernels
#endif  // HWY_ONCE
