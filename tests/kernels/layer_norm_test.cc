#include "kernels/layer_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/gradient_check.h"
#include "kernels/random_values.h"

namespace bertie::kernels {
namespace {

constexpr int64_t kRows = 70;  // three tasks

struct NormExample {
  explicit NormExample(int64_t columns_in)
      : columns(columns_in),
        x(RandomValues(kRows * columns, 1)),
        residual(RandomValues(kRows * columns, 2)),
        gamma(RandomValues(columns, 3)),
        beta(RandomValues(columns, 4)),
        dy(RandomValues(kRows * columns, 5)) {}

  void Forward(ThreadPool& pool, const Dropout& dropout) {
    sum = x;
    y.resize(x.size());
    mean.resize(kRows);
    inverse.resize(kRows);
    LayerNorm(
        {kRows, columns, sum.data(), residual.data(), dropout, gamma.data(), beta.data(), 1e-12f},
        y.data(), mean.data(), inverse.data(), pool);
  }

  double Value(ThreadPool& pool, const Dropout& dropout) {
    Forward(pool, dropout);
    double total = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      total += static_cast<double>(y[i]) * static_cast<double>(dy[i]);
    }
    return total;
  }

  int64_t columns;
  std::vector<float> x, residual, gamma, beta, dy;
  std::vector<float> sum, y, mean, inverse;
};

TEST(LayerNorm, EqualsTheFormulaInDouble) {
  ThreadPool pool(2);
  for (int64_t columns : {1, 7, 16, 33, 384}) {
    NormExample run(columns);
    run.x[0] += 1000;  // an outlier channel
    run.Forward(pool, {});
    for (int64_t row = 0; row < kRows; ++row) {
      double mean = 0, variance = 0;
      std::vector<double> values;
      for (int64_t j = 0; j < columns; ++j) {
        const auto at = static_cast<size_t>(row * columns + j);
        values.push_back(static_cast<double>(run.x[at] + run.residual[at]));
        mean += values.back() / static_cast<double>(columns);
      }
      for (double value : values)
        variance += (value - mean) * (value - mean) / static_cast<double>(columns);
      for (int64_t j = 0; j < columns; ++j) {
        const auto c = static_cast<size_t>(j);
        const double expected =
            (values[c] - mean) / std::sqrt(variance + 1e-12) * static_cast<double>(run.gamma[c]) +
            static_cast<double>(run.beta[c]);
        if (columns > 1) {
          ASSERT_NEAR(run.y[static_cast<size_t>(row * columns + j)], expected, 2e-5) << columns;
        }
      }
    }
  }
}

TEST(LayerNorm, GradientsPredictTheValueWithAndWithoutDropout) {
  ThreadPool pool(2);
  for (const Dropout& dropout : {Dropout{}, Dropout{0.3f, 5}}) {
    NormExample run(50);
    run.Forward(pool, dropout);
    std::vector<float> d_sum(run.x.size()), d_gamma(50), d_beta(50);
    Buffer scratch;
    LayerNormBackward(kRows, 50,
                      {run.dy.data(), run.sum.data(), run.mean.data(), run.inverse.data(),
                       run.gamma.data(), d_sum.data(), d_gamma.data(), d_beta.data()},
                      scratch, pool);
    std::vector<float> dx = d_sum;
    ApplyDropout(dropout, static_cast<int64_t>(dx.size()), dx.data(), pool);
    auto value = [&] { return run.Value(pool, dropout); };
    ExpectPredicts(run.x, dx, 5e-3f, value);
    ExpectPredicts(run.residual, d_sum, 5e-3f, value);
    ExpectPredicts(run.gamma, d_gamma, 5e-3f, value);
    ExpectPredicts(run.beta, d_beta, 5e-3f, value);
  }
}

TEST(LayerNorm, GradientsAddUpAndHaveTheSameBitsForAnyThreadCount) {
  NormExample run(40);
  std::vector<std::vector<float>> results;
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    run.Forward(pool, {});
    std::vector<float> d_sum(run.x.size()), d_gamma(40, 1.0f), d_beta(40, 2.0f);
    Buffer scratch;
    LayerNormBackward(kRows, 40,
                      {run.dy.data(), run.sum.data(), run.mean.data(), run.inverse.data(),
                       run.gamma.data(), d_sum.data(), d_gamma.data(), d_beta.data()},
                      scratch, pool);
    double beta_sum = 2;
    for (int64_t row = 0; row < kRows; ++row)
      beta_sum += static_cast<double>(run.dy[static_cast<size_t>(row * 40)]);
    EXPECT_NEAR(d_beta[0], beta_sum, 1e-4);
    d_gamma.insert(d_gamma.end(), d_beta.begin(), d_beta.end());
    results.push_back(d_gamma);
  }
  EXPECT_EQ(results[0], results[1]);
}

}  // namespace
}  // namespace bertie::kernels
