#include "kernels/elementwise.h"

#include <algorithm>
#include <vector>

#include "kernels/dropout.h"
#include "kernels/mixed_matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cc"
#include "kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/dropout-inl.h"
#include "kernels/row_vectors-inl.h"
#include "kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {

void GeluRange(int64_t count, const float* x, float* y) {
  ForVectors(count, [&](auto d, int64_t i) { hn::StoreU(Gelu(d, hn::LoadU(d, x + i)), d, y + i); });
}

void GeluBackwardRange(int64_t count, const float* x, const float* dy, float* dx) {
  ForVectors(count, [&](auto d, int64_t i) {
    hn::StoreU(hn::Mul(hn::LoadU(d, dy + i), GeluDerivative(d, hn::LoadU(d, x + i))), d, dx + i);
  });
}

void AddRange(int64_t count, const float* x, float* y) {
  ForVectors(count, [&](auto d, int64_t i) {
    hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
  });
}

void DropoutRange(const Dropout& dropout, int64_t first, int64_t count, float* x) {
  const DropoutMask mask(dropout);
  ForVectors(count, [&](auto d, int64_t i) {
    const auto factors = mask.Factors(d, static_cast<uint32_t>(first + i));
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), factors), d, x + i);
  });
}

double SumOfSquaresRange(int64_t count, const float* x) {
  // Short stretches in float, their sums in double: no digits lost over 10^8 elements.
  constexpr int64_t kStretch = 1024;
  double total = 0;
  for (int64_t i = 0; i < count; i += kStretch) {
    total +=
        static_cast<double>(SumVectors(std::min(kStretch, count - i), [x, i](auto d, int64_t j) {
          const auto value = hn::LoadU(d, x + i + j);
          return hn::Mul(value, value);
        }));
  }
  return total;
}

void AddColumnSumsRange(int64_t rows, int64_t stride, int64_t columns, const float* x,
                        float* sums) {
  for (int64_t row = 0; row < rows; ++row) AddRange(columns, x + row * stride, sums);
}

void AdamWRange(const AdamWStep& step, int64_t count, float* g, float* p, float* m, float* v) {
  const double correction1 = 1.0 - std::pow(static_cast<double>(step.beta1), step.step);
  const double correction2 = 1.0 - std::pow(static_cast<double>(step.beta2), step.step);
  const float step_size = static_cast<float>(static_cast<double>(step.learning_rate) / correction1);
  const float root = static_cast<float>(1.0 / std::sqrt(correction2));
  const float keep = 1.0f - step.learning_rate * step.weight_decay;
  ForVectors(count, [&](auto d, int64_t i) {
    const auto gradient = hn::Mul(hn::LoadU(d, g + i), hn::Set(d, step.gradient_scale));
    const auto m1 = hn::MulAdd(hn::Sub(gradient, hn::LoadU(d, m + i)),
                               hn::Set(d, 1.0f - step.beta1), hn::LoadU(d, m + i));
    const auto m2 = hn::MulAdd(hn::Mul(gradient, gradient), hn::Set(d, 1.0f - step.beta2),
                               hn::Mul(hn::LoadU(d, v + i), hn::Set(d, step.beta2)));
    const auto denominator = hn::MulAdd(hn::Sqrt(m2), hn::Set(d, root), hn::Set(d, step.eps));
    const auto old = hn::Mul(hn::LoadU(d, p + i), hn::Set(d, keep));
    hn::StoreU(hn::Zero(d), d, g + i);
    hn::StoreU(m1, d, m + i);
    hn::StoreU(m2, d, v + i);
    hn::StoreU(hn::NegMulAdd(hn::Set(d, step_size), hn::Div(m1, denominator), old), d, p + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bertie::kernels {

HWY_EXPORT(GeluRange);
HWY_EXPORT(GeluBackwardRange);
HWY_EXPORT(AddRange);
HWY_EXPORT(DropoutRange);
HWY_EXPORT(SumOfSquaresRange);
HWY_EXPORT(AddColumnSumsRange);
HWY_EXPORT(AdamWRange);

namespace {

// A task's elements: 64 KiB of floats. Fixed, so that sums do not depend on the threads.
constexpr int64_t kChunk = 16384;

// body(first, count) over [0, count) in chunks.
template <class Body>
void ForChunks(int64_t count, ThreadPool& pool, const Body& body) {
  pool.ParallelFor((count + kChunk - 1) / kChunk, [&](int64_t task, int) {
    body(task * kChunk, std::min(kChunk, count - task * kChunk));
  });
}

uint64_t SplitMix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

void Gelu(int64_t count, const float* x, float* y, ThreadPool& pool) {
  ForChunks(count, pool, [&](int64_t first, int64_t n) {
    HWY_DYNAMIC_DISPATCH(GeluRange)(n, x + first, y + first);
  });
}

void GeluBackward(int64_t count, const float* x, const float* dy, float* dx, ThreadPool& pool) {
  ForChunks(count, pool, [&](int64_t first, int64_t n) {
    HWY_DYNAMIC_DISPATCH(GeluBackwardRange)(n, x + first, dy + first, dx + first);
  });
}

void Add(int64_t count, const float* x, float* y, ThreadPool& pool) {
  ForChunks(count, pool, [&](int64_t first, int64_t n) {
    HWY_DYNAMIC_DISPATCH(AddRange)(n, x + first, y + first);
  });
}

void AddColumnSums(int64_t rows, int64_t columns, const float* x, float* sums, ThreadPool& pool) {
  // Stripes of columns: each sum is one worker's alone.
  constexpr int64_t kStripe = 128;
  pool.ParallelFor((columns + kStripe - 1) / kStripe, [&](int64_t task, int) {
    const int64_t first = task * kStripe;
    HWY_DYNAMIC_DISPATCH(AddColumnSumsRange)
    (rows, columns, std::min(kStripe, columns - first), x + first, sums + first);
  });
}

double SumOfSquares(int64_t count, const float* x, ThreadPool& pool) {
  std::vector<double> partial(static_cast<size_t>((count + kChunk - 1) / kChunk));
  ForChunks(count, pool, [&](int64_t first, int64_t n) {
    partial[static_cast<size_t>(first / kChunk)] =
        HWY_DYNAMIC_DISPATCH(SumOfSquaresRange)(n, x + first);
  });
  double total = 0;
  for (double part : partial) total += part;
  return total;
}

uint64_t DropoutKey(uint64_t seed, uint64_t step, uint64_t place) {
  return SplitMix(SplitMix(SplitMix(seed) ^ step) ^ place);
}

void ApplyDropout(const Dropout& dropout, int64_t count, float* x, ThreadPool& pool) {
  if (!dropout.active()) return;
  ForChunks(count, pool, [&](int64_t first, int64_t n) {
    HWY_DYNAMIC_DISPATCH(DropoutRange)(dropout, first, n, x + first);
  });
}

void AdamWUpdate(const AdamWStep& step, int64_t count, float* gradient, float* parameter,
                 float* moment1, float* moment2, uint16_t* rounded, ThreadPool& pool) {
  ForChunks(count, pool, [&](int64_t first, int64_t n) {
    HWY_DYNAMIC_DISPATCH(AdamWRange)
    (step, n, gradient + first, parameter + first, moment1 + first, moment2 + first);
    if (rounded != nullptr) RoundRunToBF16(n, parameter + first, rounded + first);
  });
}

}  // namespace bertie::kernels
#endif  // HWY_ONCE
