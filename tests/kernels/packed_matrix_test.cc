#include "kernels/packed_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/amx_block.h"
#include "kernels/bf16_matmul.h"
#include "kernels/int8_matmul.h"
#include "kernels/int8_vnni.h"
#include "kernels/matmul.h"
#include "kernels/onednn_matmul.h"
#include "kernels/random_values.h"
#include "kernels/x86_features.h"

namespace bertie::kernels {
namespace {

struct PackedCase {
  int64_t rows, columns, depth;
};

// Sizes around the edges of tiles, panels, groups and blocks of every instruction set, and all
// heights of a tile.
const PackedCase kPackedCases[] = {
    {1, 1, 1},    {2, 3, 2},     {3, 8, 7},    {4, 9, 8},     {5, 16, 9},      {6, 17, 15},
    {7, 31, 16},  {8, 32, 17},   {9, 33, 24},  {10, 64, 385}, {11, 65, 384},   {12, 48, 400},
    {13, 40, 31}, {25, 70, 770}, {97, 37, 33}, {110, 96, 41}, {200, 66, 1537},
};

struct PackedOperands {
  explicit PackedOperands(const PackedCase& c)
      : a_values(RandomValues(c.rows * c.depth, 1)),
        b_values(RandomValues(c.columns * c.depth, 2)) {
    a = RowMajor(a_values.data(), c.rows, c.depth);
    b = RowMajor(b_values.data(), c.columns, c.depth).Transposed();
  }
  std::vector<float> a_values, b_values;
  MatrixView a, b;
};

// a b by MatMul, in rows of columns + 1, of which the last must stay as it is.
std::vector<float> Multiply(const MatrixView& a, const PackedMatrix& b, int threads,
                            MatMulOptions options = {}) {
  ThreadPool pool(threads);
  MatMulScratch scratch;
  const int64_t stride = b.columns() + 1;
  std::vector<float> out(static_cast<size_t>(a.rows * stride), 7.0f);
  MatMul(a, b, out.data(), stride, options, scratch, pool);
  std::vector<float> inner;
  for (int64_t i = 0; i < a.rows; ++i) {
    const auto row = out.begin() + i * stride;
    inner.insert(inner.end(), row, row + b.columns());
    EXPECT_EQ(row[b.columns()], 7.0f) << "beside row " << i;
  }
  return inner;
}

// An int8 matrix's numbers read back from its bytes, wherever this processor keeps them.
struct Unpacked {
  explicit Unpacked(const PackedMatrix& b) : depth(b.depth()) {
    const PanelLayout layout = NativeLayout(WeightType::kI8);
    const int64_t panel_bytes = PanelBytes(WeightType::kI8, depth, layout);
    for (int64_t j = 0; j < b.columns(); ++j) {
      const std::byte* panel = b.bytes().data() + j / layout.width * panel_bytes;
      const int64_t within = j % layout.width;
      for (int64_t k = 0; k < depth; ++k) {
        const int64_t at = (k / layout.group * layout.width + within) * layout.group;
        q.push_back(std::to_integer<int8_t>(panel[at + k % layout.group]));
      }
      const std::byte* tables = panel + panel_bytes - 8 * layout.width;
      std::memcpy(&scales.emplace_back(), tables + 4 * within, 4);
      std::memcpy(&sums.emplace_back(), tables + 4 * (layout.width + within), 4);
    }
  }
  int64_t depth;
  std::vector<int8_t> q;  // [columns][depth]
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

// The header's formula in whole numbers, from the q of both factors.
double Int8Reference(const QuantizedRows& a, const Unpacked& b, int64_t i, int64_t j) {
  int64_t sum = 0;
  for (int64_t k = 0; k < b.depth; ++k) {
    const int64_t x = std::to_integer<uint8_t>(a.data[i * a.stride + k]);
    sum += (x - a.zeros[i]) * b.q[static_cast<size_t>(j * b.depth + k)];
  }
  return static_cast<double>(sum) * static_cast<double>(a.scales[i]) *
         static_cast<double>(b.scales[static_cast<size_t>(j)]);
}

void ExpectExactInt8Sums(const MatrixView& a, const PackedMatrix& packed) {
  ThreadPool pool(1);
  Buffer memory;
  const QuantizedRows rows = QuantizeRows(a, memory, pool);
  const Unpacked b(packed);
  const auto out = Multiply(a, packed, 2);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < packed.columns(); ++j) {
      const double expected = Int8Reference(rows, b, i, j);
      ASSERT_NEAR(out[static_cast<size_t>(i * packed.columns() + j)], expected,
                  3e-7 * std::abs(expected))
          << a.rows << 'x' << packed.columns() << 'x' << a.columns << " at " << i << ", " << j;
    }
  }
}

// tests/long/emulated/run reads what this prints, and says what to expect.
TEST(Int8MatMul, NamesItsInstructions) {
  const std::string instructions = Instructions(WeightType::kI8);
  const int64_t width = NativeLayout(WeightType::kI8).width;
  std::printf("instructions: int8 %s, bf16 %s, %d columns a panel, oneDNN %s\n",
              instructions.c_str(), Instructions(WeightType::kBF16), static_cast<int>(width),
              UseOneDnn() ? "yes" : "no");
  EXPECT_EQ(width, instructions == "scalar" ? 2
                   : instructions == "sse4" ? 8
                   : instructions == "avx2" ? 16
                                            : 32);
  const char* expected = std::getenv("BERTIE_EXPECT_INT8");
  if (expected != nullptr) {
    EXPECT_EQ(instructions, expected);
  }
}

TEST(Int8MatMul, RowsAreQuantizedToTheNearestOf256Steps) {
  ThreadPool pool(2);
  for (const PackedCase& c : kPackedCases) {
    const PackedOperands x(c);
    Buffer memory;
    const QuantizedRows q = QuantizeRows(x.a, memory, pool);
    for (int64_t i = 0; i < c.rows; ++i) {
      for (int64_t k = 0; k < c.depth; ++k) {
        const auto step = std::to_integer<int32_t>(q.data[i * q.stride + k]) - q.zeros[i];
        ASSERT_NEAR(static_cast<float>(step) * q.scales[i],
                    x.a_values[static_cast<size_t>(i * c.depth + k)], 0.5001f * q.scales[i] + 1e-7f)
            << c.depth << " at " << i << ", " << k;
      }
      for (int64_t k = c.depth; k < (c.depth + 7) / 8 * 8; ++k) {
        ASSERT_EQ(q.data[i * q.stride + k], std::byte{0}) << c.depth;
      }
    }
  }
}

TEST(Int8MatMul, EqualsTheFormulaInWholeNumbers) {
  ThreadPool pool(2);
  for (const PackedCase& c : kPackedCases) {
    const PackedOperands x(c);
    const auto packed = PackedMatrix::Pack(x.b, WeightType::kI8, pool);
    const Unpacked b(packed);
    for (int64_t j = 0; j < c.columns; ++j) {
      int32_t sum = 0;
      for (int64_t k = 0; k < c.depth; ++k) {
        const auto at = static_cast<size_t>(j * c.depth + k);
        sum += b.q[at];
        ASSERT_NEAR(static_cast<float>(b.q[at]) * b.scales[static_cast<size_t>(j)], x.b_values[at],
                    0.5001f * b.scales[static_cast<size_t>(j)]);
      }
      ASSERT_EQ(sum, b.sums[static_cast<size_t>(j)]);
    }
    ExpectExactInt8Sums(x.a, packed);
  }
}

// 16-bit sums of byte products would saturate here, were it not for the packing.
TEST(Int8MatMul, LargestProductsDoNotSaturate) {
  ThreadPool pool(1);
  for (const float sign : {1.0f, -1.0f}) {
    for (const PackedCase& c : kPackedCases) {
      std::vector<float> a(static_cast<size_t>(c.rows * c.depth), 1.0f);
      std::vector<float> b(static_cast<size_t>(c.columns * c.depth), sign);
      // Every other column has single weights alone in their groups, which may be as large as 127.
      for (int64_t j = 1; j < c.columns; j += 2) {
        for (int64_t k = 0; k < c.depth; ++k) {
          if (k % 8 != j % 8) b[static_cast<size_t>(j * c.depth + k)] = 0;
        }
      }
      const MatrixView columns = RowMajor(b.data(), c.columns, c.depth).Transposed();
      ExpectExactInt8Sums(RowMajor(a.data(), c.rows, c.depth),
                          PackedMatrix::Pack(columns, WeightType::kI8, pool));
    }
  }
}

float Rounded(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}

TEST(BF16MatMul, EqualsTheProductWithTheRoundedWeightsBitForBit) {
  if (UseBF16Dot()) GTEST_SKIP() << "this processor rounds the other factor too";
  ThreadPool pool(2);
  for (const PackedCase& c : kPackedCases) {
    PackedOperands x(c);
    const auto packed = PackedMatrix::Pack(x.b, WeightType::kBF16, pool);
    for (float& value : x.b_values) value = Rounded(value);
    EXPECT_EQ(Multiply(x.a, packed, 2),
              Multiply(x.a, PackedMatrix::Pack(x.b, WeightType::kF32, pool), 1))
        << c.rows << 'x' << c.columns << 'x' << c.depth;
  }
}

// Products of bf16 are exact in fp32, so that nothing but the order of the sums is left.
TEST(BF16MatMul, IsTheProductOfBothFactorsRounded) {
  if (!UseBF16Dot()) GTEST_SKIP() << "no AVX512_BF16 here, or BERTIE_BF16=widen";
  ThreadPool pool(2);
  for (const PackedCase& c : kPackedCases) {
    PackedOperands x(c);
    const auto out = Multiply(x.a, PackedMatrix::Pack(x.b, WeightType::kBF16, pool), 2);
    for (float& value : x.a_values) value = Rounded(value);
    for (float& value : x.b_values) value = Rounded(value);
    for (int64_t i = 0; i < c.rows; ++i) {
      for (int64_t j = 0; j < c.columns; ++j) {
        double sum = 0, size = 0;
        for (int64_t k = 0; k < c.depth; ++k) {
          const double product = static_cast<double>(x.a_values[i * c.depth + k]) *
                                 static_cast<double>(x.b_values[j * c.depth + k]);
          sum += product;
          size += std::abs(product);
        }
        ASSERT_NEAR(out[static_cast<size_t>(i * c.columns + j)], sum, 2e-6 * size)
            << c.rows << 'x' << c.columns << 'x' << c.depth << " at " << i << ", " << j;
      }
    }
  }
}

TEST(BF16Dot, RoundsToNearestWithTiesToEven) {
  if (!UseBF16Dot()) GTEST_SKIP() << "no AVX512_BF16 here, or BERTIE_BF16=widen";
  ThreadPool pool(2);
  for (const PackedCase& c : kPackedCases) {
    PackedOperands x(c);
    for (size_t i = 0; i < x.a_values.size(); i += 3) {  // ties
      x.a_values[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(x.a_values[i]) | 0x8000u);
    }
    Buffer memory;
    const RoundedRows rounded = RoundRows(x.a, memory, pool);
    for (int64_t i = 0; i < c.rows; ++i) {
      for (int64_t k = 0; k < (c.depth + 31) / 32 * 32; ++k) {
        uint16_t bits;
        std::memcpy(&bits, rounded.data + i * rounded.stride + 2 * k, sizeof(bits));
        const float expected =
            k < c.depth ? Rounded(x.a_values[static_cast<size_t>(i * c.depth + k)]) : 0.0f;
        ASSERT_EQ(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16), expected)
            << c.depth << " at " << i << ", " << k;
      }
    }
  }
}

// By intrinsics, where the processor has more than one way to the same sums.
TEST(AmxInt8, HasTheSumsOfVnni) {
  if (!UseAmxInt8()) GTEST_SKIP() << "no AMX here, or BERTIE_INT8 forbids it";
  ThreadPool pool(2);
  for (const PackedCase& c : kPackedCases) {
    const PackedOperands x(c);
    const auto packed = PackedMatrix::Pack(x.b, WeightType::kI8, pool);
    Buffer memory;
    const QuantizedRows rows = QuantizeRows(x.a, memory, pool);
    const int64_t panel_bytes = PanelBytes(WeightType::kI8, c.depth, {kAmxWidth, 4});
    const int64_t groups = (c.depth + 7) / 8 * 2;
    AmxBlock block(AmxType::kInt8, {rows.data, rows.stride, c.rows, groups});
    for (int64_t panel = 0; panel < (c.columns + kAmxWidth - 1) / kAmxWidth; ++panel) {
      const std::byte* b = packed.bytes().data() + panel * panel_bytes;
      int64_t seen = 0;
      block.Multiply(b, b, [&](int64_t first, int count, const std::byte* found) {
        ASSERT_EQ(first, seen);
        seen += count;
        for (int64_t row = first; row < first + count; ++row) {
          int32_t sums[kVnniWidth];
          VnniTile(1, groups, rows.data + row * rows.stride, rows.stride, b, sums, b, 0);
          ASSERT_EQ(std::memcmp(sums, found + (row - first) * kAmxWidth * 4, sizeof(sums)), 0)
              << c.rows << 'x' << c.columns << 'x' << c.depth << ", row " << row;
        }
      });
      ASSERT_EQ(seen, c.rows);
    }
  }
}

TEST(PackedMatrix, ARowHasTheSameBitsAmongAnyOthersInEveryType) {
  ThreadPool pool(2);
  const PackedCase c{150, 100, 800};
  const PackedOperands x(c);
  const auto bias = RandomValues(c.columns, 3);
  const MatMulOptions options{Epilogue::kBiasGelu, bias.data(), nullptr, 0, false};
  for (const WeightType type : {WeightType::kF32, WeightType::kBF16, WeightType::kI8}) {
    const auto packed = PackedMatrix::Pack(x.b, type, pool);
    const auto all = Multiply(x.a, packed, 4, options);
    for (int64_t rows : {1, 2, 5, 6, 7, 12, 13, 40, 149}) {
      MatrixView some = x.a;
      some.rows = rows;
      some.data += (c.rows - rows) * some.row_stride;
      const auto out = Multiply(some, packed, 1, options);
      EXPECT_TRUE(
          std::equal(out.begin(), out.end(), all.end() - static_cast<ptrdiff_t>(out.size())))
          << rows << " rows, type " << static_cast<int>(type);
    }
  }
}

// What one processor packed, another reads: bytes go through the layouts of all of them and back.
TEST(PackedMatrix, BytesOfEveryProcessorsLayoutGiveTheSameProduct) {
  ThreadPool pool(2);
  for (const WeightType type : {WeightType::kF32, WeightType::kBF16, WeightType::kI8}) {
    for (const PackedCase& c : kPackedCases) {
      const PackedOperands x(c);
      const auto packed = PackedMatrix::Pack(x.b, type, pool);
      const PanelLayout native = NativeLayout(type);
      const int64_t group = native.group;
      const int64_t size = type == WeightType::kF32 ? 4 : type == WeightType::kBF16 ? 2 : 1;
      const int64_t padded =
          type == WeightType::kI8 ? (c.depth + 7) / 8 * 8 : (c.depth + group - 1) / group * group;
      for (const int64_t width : {2, 8, 16, 32}) {
        const PanelLayout other{width, group};
        auto bytes = std::make_shared<Buffer>(PackedBytes(type, c.depth, c.columns, other) / 4 + 1);
        auto* to = reinterpret_cast<std::byte*>(bytes->data());
        std::memset(to, 0, static_cast<size_t>(PackedBytes(type, c.depth, c.columns, other)));
        const std::byte* from = packed.bytes().data();
        auto place = [&](const PanelLayout& layout, int64_t j) {
          return j / layout.width * PanelBytes(type, c.depth, layout);
        };
        for (int64_t j = 0; j < c.columns; ++j) {
          for (int64_t k = 0; k < padded; ++k) {
            auto element = [&](const PanelLayout& layout) {
              return place(layout, j) +
                     ((k / group * layout.width + j % layout.width) * group + k % group) * size;
            };
            std::memcpy(to + element(other), from + element(native), static_cast<size_t>(size));
          }
          if (type != WeightType::kI8) continue;
          for (int64_t table : {0, 1}) {
            auto entry = [&](const PanelLayout& layout) {
              return place(layout, j) + padded * layout.width +
                     4 * (table * layout.width + j % layout.width);
            };
            std::memcpy(to + entry(other), from + entry(native), 4);
          }
        }
        const auto read = PackedMatrix::FromBytes(type, c.depth, c.columns, other, to, bytes, pool);
        ASSERT_TRUE(std::ranges::equal(read.bytes(), packed.bytes()))
            << "type " << static_cast<int>(type) << ", width " << width << ", " << c.columns
            << " columns of " << c.depth;
      }
    }
  }
}

}  // namespace
}  // namespace bertie::kernels
