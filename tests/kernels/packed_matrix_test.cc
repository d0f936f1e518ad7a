#include "kernels/packed_matrix.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/int8_matmul.h"
#include "kernels/matmul.h"
#include "kernels/random_values.h"

namespace bertie::kernels {
namespace {

struct Size {
  int64_t rows, columns, depth;
};

// Around the edges of tiles, panels and groups of every instruction set, and several blocks of
// rows.
const Size kSizes[] = {{1, 1, 1},       {1, 2, 384},    {5, 37, 19},   {6, 16, 8},
                       {7, 17, 33},     {12, 32, 64},   {13, 33, 385}, {25, 48, 768},
                       {203, 131, 777}, {400, 40, 3072}};

std::vector<float> Multiply(const std::vector<float>& a, const PackedMatrix& b, const Size& size,
                            const MatMulOptions& options, ThreadPool& pool) {
  MatMulScratch scratch;
  std::vector<float> out(static_cast<size_t>(size.rows * size.columns));
  MatMul(RowMajor(a.data(), size.rows, size.depth), b, out.data(), size.columns, options, scratch,
         pool);
  return out;
}

// a [rows, depth], b [columns, depth].
double Reference(const std::vector<float>& a, const std::vector<float>& b, const Size& size,
                 int64_t row, int64_t column) {
  double sum = 0;
  for (int64_t k = 0; k < size.depth; ++k) {
    sum += static_cast<double>(a[static_cast<size_t>(row * size.depth + k)]) *
           static_cast<double>(b[static_cast<size_t>(column * size.depth + k)]);
  }
  return sum;
}

PackedMatrix Pack(const std::vector<float>& b, const Size& size, WeightType type,
                  ThreadPool& pool) {
  return PackedMatrix::Pack(RowMajor(b.data(), size.columns, size.depth).Transposed(), type, pool);
}

float RoundToBF16(float value) {
  const float scale = std::ldexp(1.0f, std::ilogb(value) - 7);
  return std::nearbyint(value / scale) * scale;
}

TEST(PackedMatrix, BF16ProductsAreThoseOfTheRoundedWeights) {
  ThreadPool pool(3);
  for (const Size& size : kSizes) {
    const auto a = RandomValues(size.rows * size.depth, 1);
    auto b = RandomValues(size.columns * size.depth, 2);
    const auto out = Multiply(a, Pack(b, size, WeightType::kBF16, pool), size, {}, pool);
    for (float& value : b) value = RoundToBF16(value);
    const double tolerance = 4e-6 * std::sqrt(static_cast<double>(size.depth));
    for (int64_t i = 0; i < size.rows; ++i) {
      for (int64_t j = 0; j < size.columns; ++j) {
        ASSERT_NEAR(out[static_cast<size_t>(i * size.columns + j)], Reference(a, b, size, i, j),
                    tolerance)
            << size.rows << 'x' << size.columns << 'x' << size.depth;
      }
    }
  }
}

TEST(PackedMatrix, BF16KeepsInfinitiesAndNaN) {
  ThreadPool pool(1);
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> b = {infinity, std::numeric_limits<float>::quiet_NaN()};
  const auto out =
      Multiply({1.0f}, Pack(b, {1, 2, 1}, WeightType::kBF16, pool), {1, 2, 1}, {}, pool);
  EXPECT_EQ(out[0], infinity);
  EXPECT_TRUE(std::isnan(out[1]));
}

// Whole numbers, so laid out that both factors are quantised without error: then the product must
// be exact. Fours of 32 times 255 are the largest 16-bit sums that can come up.
TEST(PackedMatrix, Int8ProductsOfWholeNumbersAreExact) {
  ThreadPool pool(3);
  for (const Size& size : kSizes) {
    if (size.depth < 8) continue;
    auto a = RandomValues(size.rows * size.depth, 1);
    auto b = RandomValues(size.columns * size.depth, 2);
    for (float& value : a)
      value =
          std::floor(std::abs(value) * 1e4f - 256.0f * std::floor(std::abs(value) * 1e4f / 256.0f));
    for (float& value : b) value = std::floor(32.99f * std::sin(1e3f * value));
    for (float& value : b) value = std::clamp(value, -32.0f, 32.0f);
    for (int64_t i = 0; i < size.rows; ++i) {
      float* row = a.data() + i * size.depth;
      for (int64_t k = 0; k < 8; ++k) row[k] = 255;  // beside 0, this fixes the scale at 1
    }
    for (int64_t j = 0; j < size.columns; ++j) {
      float* column = b.data() + j * size.depth;
      for (int64_t k = 0; k < 8; ++k) column[k] = j % 2 == 0 ? 32.0f : -32.0f;
    }
    const auto out = Multiply(a, Pack(b, size, WeightType::kI8, pool), size, {}, pool);
    for (int64_t i = 0; i < size.rows; ++i) {
      for (int64_t j = 0; j < size.columns; ++j) {
        const double expected = Reference(a, b, size, i, j);
        // The sum is exact; its conversion to float rounds once.
        ASSERT_NEAR(out[static_cast<size_t>(i * size.columns + j)], expected,
                    std::abs(expected) * 1e-7 + 1e-9)
            << size.rows << 'x' << size.columns << 'x' << size.depth << " at " << i << ',' << j;
      }
    }
  }
}

TEST(PackedMatrix, Int8ProductsAreWithinTheQuantisationError) {
  ThreadPool pool(2);
  for (const Size& size : kSizes) {
    const auto a = RandomValues(size.rows * size.depth, 1);
    const auto b = RandomValues(size.columns * size.depth, 2);
    const auto bias = RandomValues(size.columns, 3);
    const auto residual = RandomValues(size.rows * size.columns, 4);
    const auto packed = Pack(b, size, WeightType::kI8, pool);
    const auto out = Multiply(
        a, packed, size,
        {Epilogue::kBiasResidual, bias.data(), residual.data(), size.columns, false}, pool);
    // Half a step of each factor, a step being a 255th of a's and at most a 32nd of b's largest.
    const double worst = 6.0 * std::sqrt(static_cast<double>(size.depth)) * (1.0 / 255 + 1.0 / 64);
    for (int64_t i = 0; i < size.rows; ++i) {
      for (int64_t j = 0; j < size.columns; ++j) {
        const auto at = static_cast<size_t>(i * size.columns + j);
        const double expected = Reference(a, b, size, i, j) +
                                static_cast<double>(bias[static_cast<size_t>(j)]) +
                                static_cast<double>(residual[at]);
        ASSERT_NEAR(out[at], expected, worst) << size.rows << 'x' << size.columns;
      }
    }
  }
}

TEST(PackedMatrix, ARowHasTheSameBitsAmongAnyOthersInEveryPrecision) {
  ThreadPool one(1), four(4);
  const Size size{150, 100, 800};
  const auto a = RandomValues(size.rows * size.depth, 1);
  const auto b = RandomValues(size.columns * size.depth, 2);
  for (WeightType type : {WeightType::kF32, WeightType::kBF16, WeightType::kI8}) {
    const auto packed = Pack(b, size, type, one);
    const auto all = Multiply(a, packed, size, {}, four);
    for (int64_t rows : {1, 2, 5, 6, 7, 12, 13, 40, 149}) {
      const std::vector<float> last(a.end() - rows * size.depth, a.end());
      const auto out = Multiply(last, packed, {rows, size.columns, size.depth}, {}, one);
      EXPECT_TRUE(std::equal(out.begin(), out.end(), all.end() - rows * size.columns))
          << rows << " rows";
    }
  }
}

TEST(PackedMatrix, ColumnsOfZerosAndRowsOfZerosGiveZero) {
  ThreadPool pool(1);
  const Size size{3, 20, 30};
  std::vector<float> a(90, 0.0f), b(600, 0.0f);
  for (size_t k = 0; k < 30; ++k) a[30 + k] = -1.5f;  // a row of equal numbers below 0
  const auto out = Multiply(a, Pack(b, size, WeightType::kI8, pool), size, {}, pool);
  for (float value : out) EXPECT_EQ(value, 0.0f);
}

// The bytes of the same matrix in a layout that is not this processor's.
std::vector<std::byte> InLayout(const PackedMatrix& native, const PanelLayout& layout) {
  const WeightType type = native.type();
  const PanelLayout own = NativeLayout(type);
  const size_t size = type == WeightType::kF32 ? 4 : type == WeightType::kBF16 ? 2 : 1;
  const int64_t own_panel = PanelBytes(type, native.depth(), own);
  const int64_t panel = PanelBytes(type, native.depth(), layout);
  const int64_t tables = type == WeightType::kI8 ? 8 : 0;
  std::vector<std::byte> bytes(
      static_cast<size_t>(PackedBytes(type, native.depth(), native.columns(), layout)));
  const auto copy = [&](int64_t to, int64_t from, size_t count) {
    std::memcpy(bytes.data() + to, native.bytes().data() + from, count);
  };
  for (int64_t j = 0; j < native.columns(); ++j) {
    const int64_t from = j / own.width * own_panel, to = j / layout.width * panel;
    const int64_t at = j % own.width, into = j % layout.width;
    for (int64_t k = 0; k < native.depth(); ++k) {
      const int64_t source = (k / own.group * own.width + at) * own.group + k % own.group;
      const int64_t target =
          (k / layout.group * layout.width + into) * layout.group + k % layout.group;
      copy(to + target * static_cast<int64_t>(size), from + source * static_cast<int64_t>(size),
           size);
    }
    for (int64_t table = 0; table < tables / 4; ++table) {
      copy(to + panel - tables * layout.width + (table * layout.width + into) * 4,
           from + own_panel - tables * own.width + (table * own.width + at) * 4, 4);
    }
  }
  return bytes;
}

TEST(PackedMatrix, BytesFromAnotherProcessorAreLaidOutAnew) {
  ThreadPool pool(2);
  const Size size{9, 75, 100};
  const auto a = RandomValues(size.rows * size.depth, 1);
  const auto b = RandomValues(size.columns * size.depth, 2);
  for (WeightType type : {WeightType::kF32, WeightType::kBF16, WeightType::kI8}) {
    const auto native = Pack(b, size, type, pool);
    const auto expected = Multiply(a, native, size, {}, pool);
    for (int64_t width : {2, 8, 16, 32}) {
      const PanelLayout layout{width, NativeLayout(type).group};
      const auto bytes = std::make_shared<std::vector<std::byte>>(InLayout(native, layout));
      const auto again = PackedMatrix::FromBytes(type, size.depth, size.columns, layout,
                                                 bytes->data(), bytes, pool);
      EXPECT_EQ(Multiply(a, again, size, {}, pool), expected) << width;
    }
  }
}

}  // namespace
}  // namespace bertie::kernels
