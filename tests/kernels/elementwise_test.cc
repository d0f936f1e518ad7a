#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout.h"
#include "kernels/embedding.h"
#include "kernels/embedding_table.h"
#include "kernels/random_values.h"

namespace bertie::kernels {
namespace {

double ExactGelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

TEST(Gelu, IsTheErfFormWithinAMillionth) {
  ThreadPool pool(2);
  std::vector<float> x = {0.0f, -0.0f, 100.0f, -100.0f, 1e30f, 1e-30f};
  for (int i = -12000; i <= 12000; ++i) x.push_back(static_cast<float>(i) * 1e-3f);
  std::vector<float> y(x.size()), dx(x.size());
  const std::vector<float> ones(x.size(), 1.0f);
  Gelu(static_cast<int64_t>(x.size()), x.data(), y.data(), pool);
  GeluBackward(static_cast<int64_t>(x.size()), x.data(), ones.data(), dx.data(), pool);
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = static_cast<double>(x[i]);
    ASSERT_NEAR(y[i], ExactGelu(v), 1e-6 * std::max(1.0, std::abs(v))) << v;
    const double derivative = 0.5 * std::erfc(-v / std::sqrt(2.0)) +
                              v * std::exp(-0.5 * v * v) / std::sqrt(2 * std::acos(-1.0));
    ASSERT_NEAR(dx[i], derivative, 2e-6) << v;
  }
}

TEST(Dropout, DropsTheShareAskedForAndScalesTheRest) {
  ThreadPool one(1), three(3);
  for (float probability : {0.1f, 0.5f, 0.9f}) {
    const Dropout dropout{probability, DropoutKey(1, 2, 3)};
    std::vector<float> x(200000, 1.0f);
    auto y = x;
    ApplyDropout(dropout, 200000, x.data(), one);
    ApplyDropout(dropout, 200000, y.data(), three);
    EXPECT_EQ(x, y);
    double dropped = 0, together = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i] == 0) {
        ++dropped;
        if (i > 0 && x[i - 1] == 0) ++together;
      } else {
        ASSERT_FLOAT_EQ(x[i], 1 / (1 - probability));
      }
    }
    // Five standard deviations; neighbours are independent.
    const double p = static_cast<double>(probability);
    EXPECT_NEAR(dropped / 200000, p, 5 * std::sqrt(p * (1 - p) / 200000));
    EXPECT_NEAR(together / 200000, p * p, 5 * std::sqrt(p * p * (1 - p * p) / 200000));
  }
}

TEST(Dropout, KeysOfOtherStepsAndPlacesGiveOtherMasks) {
  ThreadPool pool(1);
  auto mask = [&](uint64_t seed, uint64_t step, uint64_t place) {
    std::vector<float> x(1000, 1.0f);
    ApplyDropout({0.5f, DropoutKey(seed, step, place)}, 1000, x.data(), pool);
    return x;
  };
  const auto base = mask(1, 1, 1);
  for (const auto& other : {mask(2, 1, 1), mask(1, 2, 1), mask(1, 1, 2)}) {
    int equal = 0;
    for (size_t i = 0; i < base.size(); ++i) equal += base[i] == other[i];
    EXPECT_NEAR(equal, 500, 80);
  }
}

TEST(Sums, ColumnsAndSquaresAreExactEnough) {
  ThreadPool pool(3);
  const auto x = RandomValues(300 * 201, 1);
  std::vector<float> sums(201, 1.0f);
  AddColumnSums(300, 201, x.data(), sums.data(), pool);
  double squares = 0;
  for (float value : x) squares += static_cast<double>(value) * static_cast<double>(value);
  for (size_t j = 0; j < 201; ++j) {
    double expected = 1;
    for (size_t row = 0; row < 300; ++row) expected += static_cast<double>(x[row * 201 + j]);
    ASSERT_NEAR(sums[j], expected, 1e-4);
  }
  EXPECT_NEAR(SumOfSquares(300 * 201, x.data(), pool), squares, 1e-6 * squares);
}

TEST(AdamW, FollowsTheFormulaInDouble) {
  ThreadPool pool(2);
  constexpr int64_t kCount = 37;
  auto parameter = RandomValues(kCount, 1);
  std::vector<float> m(kCount), v(kCount);
  std::vector<double> p(parameter.begin(), parameter.end()), m1(kCount), m2(kCount);
  for (int64_t step = 1; step <= 5; ++step) {
    const auto gradient = RandomValues(kCount, static_cast<uint32_t>(step + 1));
    auto used = gradient;
    std::vector<uint16_t> rounded(kCount);
    AdamWUpdate({0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.5f, step}, kCount, used.data(),
                parameter.data(), m.data(), v.data(), rounded.data(), pool);
    for (size_t i = 0; i < kCount; ++i) EXPECT_EQ(rounded[i], ToBF16(parameter[i]));
    EXPECT_EQ(used, std::vector<float>(kCount)) << "gradients are left zero";
    for (size_t i = 0; i < kCount; ++i) {
      const double g = 0.5 * static_cast<double>(gradient[i]);
      m1[i] = 0.9 * m1[i] + 0.1 * g;
      m2[i] = 0.999 * m2[i] + 0.001 * g * g;
      const double step_d = static_cast<double>(step);
      const double mean = m1[i] / (1 - std::pow(0.9, step_d));
      const double square = m2[i] / (1 - std::pow(0.999, step_d));
      p[i] = p[i] * (1 - 0.01 * 0.1) - 0.01 * mean / (std::sqrt(square) + 1e-8);
      ASSERT_NEAR(parameter[i], p[i], 1e-5) << step;
    }
  }
}

TEST(Embedding, SumsRowsAndScattersGradientsBack) {
  ThreadPool pool(2);
  const std::vector<int32_t> ids = {3, 1, 3, 0}, types = {0, 1, 1, 0}, offsets = {0, 3, 4};
  const auto word = RandomValues(5 * 70, 1), position = RandomValues(4 * 70, 2),
             type = RandomValues(2 * 70, 3), d_out = RandomValues(4 * 70, 4);
  const EmbeddingInput input{ids.data(), types.data(), offsets.data(), 2, 70};
  std::vector<float> out(4 * 70);
  Embed(input, {{word.data()}, position.data(), type.data()}, out.data(), pool);
  EXPECT_FLOAT_EQ(out[2 * 70 + 5], word[3 * 70 + 5] + type[70 + 5] + position[2 * 70 + 5]);
  EXPECT_FLOAT_EQ(out[3 * 70 + 69], word[69] + type[69] + position[69]);
  std::vector<float> d_word(5 * 70), d_position(4 * 70), d_type(2 * 70);
  EmbedBackward(input, d_out.data(), {d_word.data(), d_position.data(), d_type.data()}, pool);
  EXPECT_FLOAT_EQ(d_word[3 * 70 + 5], d_out[5] + d_out[2 * 70 + 5]);
  EXPECT_FLOAT_EQ(d_word[4 * 70 + 5], 0);
  EXPECT_FLOAT_EQ(d_position[5], d_out[5] + d_out[3 * 70 + 5]);
  EXPECT_FLOAT_EQ(d_type[70 + 5], d_out[70 + 5] + d_out[2 * 70 + 5]);
}

TEST(Embedding, RowsInLowerPrecisionsAreTheRoundedOnes) {
  ThreadPool pool(2);
  for (const int64_t hidden : {1, 7, 70, 128}) {
    constexpr int64_t kRows = 300;
    auto word = RandomValues(kRows * hidden, 1);
    std::fill_n(word.begin() + 5 * hidden, hidden, 0.0f);  // as padding's row may be
    const auto position = RandomValues(2 * hidden, 2), type = RandomValues(hidden, 3);
    const std::vector<int32_t> ids = {299, 5, 0}, types = {0, 0, 0}, offsets = {0, 2, 3};
    const EmbeddingInput input{ids.data(), types.data(), offsets.data(), 2, hidden};
    for (const WeightType kind : {WeightType::kF32, WeightType::kBF16, WeightType::kI8}) {
      const auto packed = EmbeddingTable::Pack(word.data(), kRows, hidden, kind, pool);
      // As from a file in which it does not lie on a multiple of 4.
      std::vector<std::byte> moved(packed.bytes().size() + 1);
      std::copy(packed.bytes().begin(), packed.bytes().end(), moved.begin() + 1);
      const auto table = EmbeddingTable::FromBytes(kind, kRows, hidden, moved.data() + 1, nullptr);
      std::vector<float> out(static_cast<size_t>(3 * hidden));
      Embed(input, {table.rows(), position.data(), type.data()}, out.data(), pool);
      for (int64_t t = 0; t < 3; ++t) {
        const float* row = word.data() + ids[static_cast<size_t>(t)] * hidden;
        float largest = 0;
        for (int64_t j = 0; j < hidden; ++j) largest = std::max(largest, std::abs(row[j]));
        for (int64_t j = 0; j < hidden; ++j) {
          const float step = kind == WeightType::kI8     ? largest / 127
                             : kind == WeightType::kBF16 ? std::abs(row[j]) / 128
                                                         : 0;
          const float expected = row[j] + type[static_cast<size_t>(j)] +
                                 position[static_cast<size_t>((t < 2 ? t : 0) * hidden + j)];
          ASSERT_NEAR(out[static_cast<size_t>(t * hidden + j)], expected, 0.501f * step + 1e-6f)
              << "type " << static_cast<int>(kind) << ", token " << t << ", " << j;
        }
      }
    }
  }
}

TEST(CrossEntropy, IsTheLogOfTheSoftmaxAndItsGradient) {
  const std::vector<float> logits = {1, 2, 3, 1000, 0, -1000};
  const std::vector<int32_t> labels = {2, 1};
  std::vector<float> d(6);
  const double sum = std::exp(-2) + std::exp(-1) + 1;
  EXPECT_NEAR(CrossEntropy(logits.data(), labels, 3, 0.5f, d.data()), std::log(sum) + 1000, 1e-9);
  EXPECT_NEAR(d[0], 0.5 * std::exp(-2) / sum, 1e-7);
  EXPECT_NEAR(d[2], 0.5 * (1 / sum - 1), 1e-7);
  EXPECT_FLOAT_EQ(d[3], 0.5f);
  EXPECT_FLOAT_EQ(d[4], -0.5f);
  EXPECT_NEAR(CrossEntropy(logits.data(), labels, 3, 1, nullptr), std::log(sum) + 1000, 1e-9);
}

TEST(CrossEntropy, ClassWeightsMultiplyLossesAndGradients) {
  const std::vector<float> logits = {1, 2, 3, 1000, 0, -1000};
  const std::vector<int32_t> labels = {2, 1};
  const std::vector<float> weights = {7, 0.5f, 4};
  std::vector<float> d(6);
  const double sum = std::exp(-2) + std::exp(-1) + 1;
  EXPECT_NEAR(CrossEntropy(logits.data(), labels, 3, 0.25f, d.data(), weights),
              4 * std::log(sum) + 0.5 * 1000, 1e-9);
  EXPECT_NEAR(d[0], std::exp(-2) / sum, 1e-7);
  EXPECT_NEAR(d[2], 1 / sum - 1, 1e-7);
  EXPECT_FLOAT_EQ(d[4], -0.125f);
}

}  // namespace
}  // namespace bertie::kernels
