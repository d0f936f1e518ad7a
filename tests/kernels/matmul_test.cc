#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/onednn_matmul.h"
#include "kernels/random_values.h"

namespace bertie::kernels {
namespace {

struct Case {
  int64_t rows, columns, depth;
  bool a_transposed, b_transposed;
};

// Sizes around the tiles' and panels' edges of every instruction set, and one of several blocks.
const Case kCases[] = {
    {1, 1, 1, false, false},    {1, 2, 384, false, true},    {5, 37, 19, false, false},
    {6, 16, 8, false, true},    {7, 17, 33, true, false},    {12, 32, 64, false, true},
    {13, 33, 385, true, true},  {16, 48, 768, false, true},  {97, 50, 400, false, false},
    {64, 100, 70, true, false}, {203, 131, 777, true, true},
};

double Reference(const MatrixView& a, const MatrixView& b, int64_t i, int64_t j) {
  double sum = 0;
  for (int64_t k = 0; k < a.columns; ++k) {
    sum += static_cast<double>(a.data[i * a.row_stride + k * a.column_stride]) *
           static_cast<double>(b.data[k * b.row_stride + j * b.column_stride]);
  }
  return sum;
}

struct Operands {
  explicit Operands(const Case& c)
      : a_values(RandomValues(c.rows * c.depth, 1)),
        b_values(RandomValues(c.columns * c.depth, 2)) {
    a = c.a_transposed ? RowMajor(a_values.data(), c.depth, c.rows).Transposed()
                       : RowMajor(a_values.data(), c.rows, c.depth);
    b = c.b_transposed ? RowMajor(b_values.data(), c.columns, c.depth).Transposed()
                       : RowMajor(b_values.data(), c.depth, c.columns);
  }
  std::vector<float> a_values, b_values;
  MatrixView a, b;
};

float Tolerance(const Case& c) { return 1e-6f * std::sqrt(static_cast<float>(c.depth)) * 4; }

TEST(MatMul, EqualsTheSumInDoubleForEveryLayout) {
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    MatMulScratch scratch;
    for (const Case& c : kCases) {
      const Operands x(c);
      // One column more than needed: what lies beside C must stay as it is.
      const int64_t stride = c.columns + 1;
      std::vector<float> out(static_cast<size_t>(c.rows * stride), 7.0f);
      std::vector<float> packed_out = out;
      MatMul(x.a, x.b, out.data(), stride, {}, scratch, pool);
      MatMul(x.a, PackedMatrix::Pack(x.b, WeightType::kF32, pool), packed_out.data(), stride, {},
             scratch, pool);
      for (int64_t i = 0; i < c.rows; ++i) {
        for (int64_t j = 0; j < c.columns; ++j) {
          const double expected = Reference(x.a, x.b, i, j);
          const auto at = static_cast<size_t>(i * stride + j);
          ASSERT_NEAR(out[at], expected, Tolerance(c)) << c.rows << 'x' << c.columns;
          ASSERT_NEAR(packed_out[at], expected, Tolerance(c)) << c.rows << 'x' << c.columns;
        }
        ASSERT_EQ(out[static_cast<size_t>(i * stride + c.columns)], 7.0f);
        ASSERT_EQ(packed_out[static_cast<size_t>(i * stride + c.columns)], 7.0f);
      }
    }
  }
}

TEST(MatMul, EpiloguesAddBiasResidualAndGelu) {
  ThreadPool pool(2);
  MatMulScratch scratch;
  for (const Case& c : kCases) {
    const Operands x(c);
    const auto bias = RandomValues(c.columns, 3);
    const auto residual = RandomValues(c.rows * c.columns, 4);
    const auto packed = PackedMatrix::Pack(x.b, WeightType::kF32, pool);
    auto run = [&](Epilogue epilogue) {
      std::vector<float> out(static_cast<size_t>(c.rows * c.columns));
      MatMul(x.a, packed, out.data(), c.columns,
             {epilogue, bias.data(), residual.data(), c.columns, false}, scratch, pool);
      return out;
    };
    const auto biased = run(Epilogue::kBias);
    const auto gelu = run(Epilogue::kBiasGelu);
    const auto rounded_gelu = run(Epilogue::kBiasGeluRounded);
    const auto summed = run(Epilogue::kBiasResidual);
    for (int64_t i = 0; i < c.rows; ++i) {
      for (int64_t j = 0; j < c.columns; ++j) {
        const auto at = static_cast<size_t>(i * c.columns + j);
        const double value =
            Reference(x.a, x.b, i, j) + static_cast<double>(bias[static_cast<size_t>(j)]);
        ASSERT_NEAR(biased[at], value, Tolerance(c));
        const double exact_gelu = value * 0.5 * std::erfc(-value / std::sqrt(2.0));
        ASSERT_NEAR(gelu[at], exact_gelu, Tolerance(c) + 1e-6);
        ASSERT_NEAR(rounded_gelu[at], exact_gelu,
                    Tolerance(c) + std::max(1.2e-4, 5e-5 * std::abs(value)));
        ASSERT_NEAR(summed[at], value + static_cast<double>(residual[at]), Tolerance(c) + 1e-6);
      }
    }
  }
}

TEST(MatMul, AccumulateAddsToC) {
  ThreadPool pool(2);
  MatMulScratch scratch;
  for (const Case& c : kCases) {
    const Operands x(c);
    auto out = RandomValues(c.rows * c.columns, 5);
    const auto before = out;
    MatMulOptions options;
    options.accumulate = true;
    MatMul(x.a, x.b, out.data(), c.columns, options, scratch, pool);
    for (int64_t i = 0; i < c.rows; ++i) {
      for (int64_t j = 0; j < c.columns; ++j) {
        const auto at = static_cast<size_t>(i * c.columns + j);
        ASSERT_NEAR(out[at], static_cast<double>(before[at]) + Reference(x.a, x.b, i, j),
                    Tolerance(c) + 1e-6);
      }
    }
  }
}

TEST(MatMul, ARowHasTheSameBitsAmongAnyOthers) {
  ThreadPool one(1), four(4);
  MatMulScratch scratch;
  const Case c{150, 100, 800, false, true};
  const Operands x(c);
  const auto packed = PackedMatrix::Pack(x.b, WeightType::kF32, one);
  std::vector<float> all(static_cast<size_t>(c.rows * c.columns));
  MatMul(x.a, packed, all.data(), c.columns, {}, scratch, four);
  for (int64_t rows : {1, 2, 5, 6, 7, 12, 13, 40, 149}) {
    MatrixView some = x.a;
    some.rows = rows;
    some.data += (c.rows - rows) * some.row_stride;
    std::vector<float> out(static_cast<size_t>(rows * c.columns));
    MatMul(some, packed, out.data(), c.columns, {}, scratch, one);
    EXPECT_TRUE(std::equal(out.begin(), out.end(), all.end() - static_cast<ptrdiff_t>(out.size())))
        << rows;
  }
}

// Runs on any processor, whether or not it is the default there.
TEST(OneDnnMatMul, EqualsTheSumInDouble) {
  ThreadPool pool(2);
  for (const Case& c : kCases) {
    const Operands x(c);
    const auto bias = RandomValues(c.columns, 3);
    std::vector<float> out(static_cast<size_t>(c.rows * c.columns));
    OneDnnMatMul(x.a, x.b, out.data(), c.columns, {Epilogue::kBias, bias.data(), nullptr, 0, false},
                 pool);
    MatMulOptions add;
    add.accumulate = true;
    OneDnnMatMul(x.a, x.b, out.data(), c.columns, add, pool);
    for (int64_t i = 0; i < c.rows; ++i) {
      for (int64_t j = 0; j < c.columns; ++j) {
        ASSERT_NEAR(
            out[static_cast<size_t>(i * c.columns + j)],
            2 * Reference(x.a, x.b, i, j) + static_cast<double>(bias[static_cast<size_t>(j)]),
            2 * Tolerance(c) + 1e-6)
            << c.rows << 'x' << c.columns << 'x' << c.depth;
      }
    }
  }
}

}  // namespace
}  // namespace bertie::kernels
