#include "kernels/layer_norm.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm.cc"
#include "kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/dropout-inl.h"
#include "kernels/row_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {

void AddResidualRow(const LayerNormInput& in, int64_t row, float* x) {
  if (in.residual == nullptr && !in.dropout.active()) return;
  const float* residual = in.residual == nullptr ? nullptr : in.residual + row * in.columns;
  const DropoutMask mask(in.dropout);
  const bool drop = in.dropout.active();
  const uint32_t index = static_cast<uint32_t>(row * in.columns);
  ForVectors(in.columns, [&](auto d, int64_t j) {
    auto value = hn::LoadU(d, x + j);
    if (drop) value = hn::Mul(value, mask.Factors(d, index + static_cast<uint32_t>(j)));
    if (residual != nullptr) value = hn::Add(value, hn::LoadU(d, residual + j));
    hn::StoreU(value, d, x + j);
  });
}

float Mean(int64_t columns, const float* x) {
  return SumVectors(columns, [&](auto d, int64_t j) { return hn::LoadU(d, x + j); }) /
         static_cast<float>(columns);
}

float Variance(int64_t columns, const float* x, float mean) {
  return SumVectors(columns,
                    [&](auto d, int64_t j) {
                      const auto centred = hn::Sub(hn::LoadU(d, x + j), hn::Set(d, mean));
                      return hn::Mul(centred, centred);
                    }) /
         static_cast<float>(columns);
}

void NormaliseRow(const LayerNormInput& in, const float* x, float mean, float inverse, float* y) {
  ForVectors(in.columns, [&](auto d, int64_t j) {
    const auto normal =
        hn::Mul(hn::Sub(hn::LoadU(d, x + j), hn::Set(d, mean)), hn::Set(d, inverse));
    hn::StoreU(hn::MulAdd(normal, hn::LoadU(d, in.gamma + j), hn::LoadU(d, in.beta + j)), d, y + j);
  });
}

// With n = (sum - mean) r and g = dy gamma: d_sum = r (g - mean(g) - n mean(g n)).
void LayerNormBackwardRow(int64_t row, int64_t columns, const LayerNormGradients& grad,
                          float* d_gamma, float* d_beta) {
  const float* dy = grad.dy + row * columns;
  const float* sum = grad.sum + row * columns;
  const float mean = grad.mean[row];
  const float inverse = grad.inverse_deviation[row];
  auto normal = [&](auto d, int64_t j) {
    return hn::Mul(hn::Sub(hn::LoadU(d, sum + j), hn::Set(d, mean)), hn::Set(d, inverse));
  };
  auto scaled = [&](auto d, int64_t j) {
    return hn::Mul(hn::LoadU(d, dy + j), hn::LoadU(d, grad.gamma + j));
  };
  const float inverse_columns = 1.0f / static_cast<float>(columns);
  const float mean_g =
      SumVectors(columns, [&](auto d, int64_t j) { return scaled(d, j); }) * inverse_columns;
  const float mean_gn =
      SumVectors(columns, [&](auto d, int64_t j) { return hn::Mul(scaled(d, j), normal(d, j)); }) *
      inverse_columns;
  float* d_sum = grad.d_sum + row * columns;
  ForVectors(columns, [&](auto d, int64_t j) {
    const auto gradient = hn::LoadU(d, dy + j);
    const auto n = normal(d, j);
    hn::StoreU(hn::MulAdd(gradient, n, hn::LoadU(d, d_gamma + j)), d, d_gamma + j);
    hn::StoreU(hn::Add(gradient, hn::LoadU(d, d_beta + j)), d, d_beta + j);
    const auto centred = hn::Sub(scaled(d, j), hn::Set(d, mean_g));
    hn::StoreU(hn::Mul(hn::NegMulAdd(n, hn::Set(d, mean_gn), centred), hn::Set(d, inverse)), d,
               d_sum + j);
  });
}

void LayerNormRows(const LayerNormInput& in, int64_t row0, int64_t row1, float* y, float* mean,
                   float* inverse_deviation) {
  // A few rows at a time, each step for all of them: none waits for its own sum's last addition.
  constexpr int64_t kTogether = 8;
  for (int64_t first = row0; first < row1; first += kTogether) {
    const int64_t count = std::min(kTogether, row1 - first);
    float means[kTogether], inverses[kTogether];
    const auto x = [&](int64_t i) { return in.x + (first + i) * in.columns; };
    for (int64_t i = 0; i < count; ++i) {
      AddResidualRow(in, first + i, x(i));
      means[i] = Mean(in.columns, x(i));
    }
    for (int64_t i = 0; i < count; ++i) {
      inverses[i] = 1.0f / std::sqrt(Variance(in.columns, x(i), means[i]) + in.eps);
    }
    for (int64_t i = 0; i < count; ++i) {
      NormaliseRow(in, x(i), means[i], inverses[i], y + (first + i) * in.columns);
    }
    if (mean != nullptr) std::copy_n(means, count, mean + first);
    if (inverse_deviation != nullptr) std::copy_n(inverses, count, inverse_deviation + first);
  }
}

void LayerNormBackwardRows(int64_t row0, int64_t row1, int64_t columns,
                           const LayerNormGradients& grad, float* d_gamma, float* d_beta) {
  for (int64_t row = row0; row < row1; ++row) {
    LayerNormBackwardRow(row, columns, grad, d_gamma, d_beta);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bertie::kernels {

HWY_EXPORT(LayerNormRows);
HWY_EXPORT(LayerNormBackwardRows);

namespace {

// A task's rows: enough that starting one costs nothing beside it. Fixed, since the partial sums of
// the backward pass are one for each task, and must not depend on the number of threads.
constexpr int64_t kRows = 32;

}  // namespace

void LayerNorm(const LayerNormInput& input, float* y, float* mean, float* inverse_deviation,
               ThreadPool& pool) {
  pool.ParallelFor((input.rows + kRows - 1) / kRows, [&](int64_t task, int) {
    HWY_DYNAMIC_DISPATCH(LayerNormRows)
    (input, task * kRows, std::min(input.rows, (task + 1) * kRows), y, mean, inverse_deviation);
  });
}

void LayerNormBackward(int64_t rows, int64_t columns, const LayerNormGradients& gradients,
                       Buffer& scratch, ThreadPool& pool) {
  const int64_t tasks = (rows + kRows - 1) / kRows;
  float* partial = scratch.Resize(tasks * 2 * columns);
  std::memset(partial, 0, static_cast<size_t>(tasks * 2 * columns) * sizeof(float));
  pool.ParallelFor(tasks, [&](int64_t task, int) {
    float* d_gamma = partial + task * 2 * columns;
    HWY_DYNAMIC_DISPATCH(LayerNormBackwardRows)
    (task * kRows, std::min(rows, (task + 1) * kRows), columns, gradients, d_gamma,
     d_gamma + columns);
  });
  if (gradients.d_gamma == nullptr) return;
  for (int64_t task = 0; task < tasks; ++task) {
    const float* from = partial + task * 2 * columns;
    for (int64_t j = 0; j < columns; ++j) {
      gradients.d_gamma[j] += from[j];
      gradients.d_beta[j] += from[columns + j];
    }
  }
}

}  // namespace bertie::kernels
#endif  // HWY_ONCE
