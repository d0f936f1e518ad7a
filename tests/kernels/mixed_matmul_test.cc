#include "kernels/mixed_matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "kernels/bf16.h"
#include "kernels/random_values.h"

namespace bertie::kernels {
namespace {

// On processors without the instructions the same code runs on rounded floats. Before main, since
// the choice is made once.
[[maybe_unused]] const bool kEmulated = [] {
  if (!__builtin_cpu_supports("avx512bf16")) setenv("BERTIE_BF16", "emulate", 0);
  return true;
}();

TEST(RoundRunToBF16, IsTheScalarRounding) {
  std::vector<float> values = RandomValues(1003, 5);
  const float infinity = std::numeric_limits<float>::infinity();
  const float special[] = {
      0.0f,           -0.0f,          infinity, -infinity,
      1.00390625f,    1.01171875f,    3.4e38f,  std::numeric_limits<float>::denorm_min(),
      std::nanf("1"), -std::nanf("2")};
  values.insert(values.begin(), std::begin(special), std::end(special));
  for (uint32_t payload : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu}) {
    values.push_back(std::bit_cast<float>(payload));
  }
  std::vector<uint16_t> rounded(values.size());
  RoundRunToBF16(static_cast<int64_t>(values.size()), values.data(), rounded.data());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(rounded[i], ToBF16(values[i])) << values[i];
    EXPECT_EQ(std::isnan(FromBF16(rounded[i])), std::isnan(values[i]));
  }
  EXPECT_EQ(FromBF16(ToBF16(1.00390625f)), 1.0f) << "a tie goes to the even one";
  EXPECT_EQ(FromBF16(ToBF16(1.01171875f)), 1.015625f) << "a tie goes to the even one";
}

// c = a b with operands rounded and sums in double.
std::vector<double> Expected(const MatrixView& a, const MatrixView& b) {
  std::vector<double> c(static_cast<size_t>(a.rows * b.columns));
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < b.columns; ++j) {
      double& sum = c[static_cast<size_t>(i * b.columns + j)];
      for (int64_t k = 0; k < a.columns; ++k) {
        const float x = a.data[i * a.row_stride + k * a.column_stride];
        const float y = b.data[k * b.row_stride + j * b.column_stride];
        sum += static_cast<double>(FromBF16(ToBF16(x))) * static_cast<double>(FromBF16(ToBF16(y)));
      }
    }
  }
  return c;
}

TEST(MixedMatMul, RoundsOperandsAndSumsInFloat) {
  ASSERT_TRUE(UseBF16());
  ThreadPool pool(2);
  MatMulScratch scratch;
  constexpr int64_t kRows = 37, kDepth = 83, kColumns = 70;
  const auto left = RandomValues(kRows * kDepth, 1), right = RandomValues(kDepth * kColumns, 2);
  const auto bias = RandomValues(kColumns, 3);
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      const MatrixView a = a_transposed ? RowMajor(left.data(), kDepth, kRows).Transposed()
                                        : RowMajor(left.data(), kRows, kDepth);
      const MatrixView b = b_transposed ? RowMajor(right.data(), kColumns, kDepth).Transposed()
                                        : RowMajor(right.data(), kDepth, kColumns);
      const auto expected = Expected(a, b);
      for (const bool accumulate : {false, true}) {
        MatMulOptions options;
        options.accumulate = accumulate;
        if (!accumulate) {
          options.epilogue = Epilogue::kBias;
          options.bias = bias.data();
        }
        std::vector<float> c(static_cast<size_t>(kRows * kColumns), 0.5f);
        Buffer rounded_a, rounded_b;
        MixedMatMul(RoundMatrix(a, rounded_a, pool), RoundMatrix(b, rounded_b, pool), c.data(),
                    kColumns, options, scratch, pool);
        for (size_t i = 0; i < c.size(); ++i) {
          const double before =
              accumulate ? 0.5 : static_cast<double>(bias[i % static_cast<size_t>(kColumns)]);
          ASSERT_NEAR(static_cast<double>(c[i]), before + expected[i], 1e-4)
              << i << (a_transposed ? " A^T" : " A") << (b_transposed ? " B^T" : " B");
        }
      }
    }
  }
}

}  // namespace
}  // namespace bertie::kernels
