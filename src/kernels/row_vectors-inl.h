// Loops over a row, vector by vector, with a scalar tail. Included like microkernel-inl.h.

#include "kernels/targets.h"
//
#include <hwy/highway.h>

#include <cstdint>

#if defined(BERTIE_ROW_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BERTIE_ROW_VECTORS_INL_H_
#undef BERTIE_ROW_VECTORS_INL_H_
#else
#define BERTIE_ROW_VECTORS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// body(d, j) for each vector at j, d being a full vector's tag, then a one-lane tag for the rest.
template <class Body>
HWY_INLINE void ForVectors(int64_t count, const Body& body) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t j = 0;
  for (; j + lanes <= count; j += lanes) body(d, j);
  for (; j < count; ++j) body(hn::CappedTag<float, 1>(), j);
}

// The sum of value(d, j) over a row, in an order that depends on count alone.
template <class Value>
HWY_INLINE float SumVectors(int64_t count, const Value& value) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  // Two sums hide the addition's latency.
  auto sum0 = hn::Zero(d);
  auto sum1 = hn::Zero(d);
  int64_t j = 0;
  for (; j + 2 * lanes <= count; j += 2 * lanes) {
    sum0 = hn::Add(sum0, value(d, j));
    sum1 = hn::Add(sum1, value(d, j + lanes));
  }
  for (; j + lanes <= count; j += lanes) sum0 = hn::Add(sum0, value(d, j));
  float total = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  for (; j < count; ++j) total += hn::GetLane(value(hn::CappedTag<float, 1>(), j));
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#endif  // BERTIE_ROW_VECTORS_INL_H_
