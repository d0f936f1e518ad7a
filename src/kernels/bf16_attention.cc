#include "kernels/bf16_attention.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/bf16_dot.h"

// GCC warns of its own header's deliberately uninitialised vectors.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#define BERTIE_BF16_ATTENTION \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

namespace bertie::kernels {
namespace {

constexpr int64_t kQueryRows = kBF16DotRows;  // worked on at a time
constexpr int64_t kLine = 64;

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Where things lie for one sentence and head. Rows are a line longer than what they hold, so that
// those a power of two long do not share their cache sets.
struct Layout {
  Layout(int64_t keys, int64_t head_size)
      : head_pairs((head_size + 1) / 2),
        key_pairs((keys + 1) / 2),
        padded_keys(RoundUp(keys, kBF16DotWidth)),
        padded_size(RoundUp(head_size, kBF16DotWidth)),
        query_stride(2 * padded_size + kLine),
        probability_stride(2 * padded_keys + kLine) {}

  int64_t head_pairs, key_pairs;
  int64_t padded_keys, padded_size;
  int64_t query_stride, probability_stride;  // bytes

  int64_t keys_bytes() const { return head_pairs * padded_keys * 4; }
  int64_t values_bytes() const { return key_pairs * padded_size * 4; }
  int64_t scores_bytes() const { return kQueryRows * padded_keys * 4; }
  int64_t queries_bytes() const { return kQueryRows * query_stride; }
  int64_t probabilities_bytes() const { return kQueryRows * probability_stride; }
  int64_t context_bytes() const { return kQueryRows * padded_size * 4; }
  int64_t bytes() const {
    return keys_bytes() + values_bytes() + scores_bytes() + queries_bytes() +
           probabilities_bytes() + context_bytes();
  }
};

// Columns of a 16 x 16 matrix of 32-bit elements become its rows.
BERTIE_BF16_ATTENTION inline void Transpose(__m512i (&m)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(m[2 * i], m[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(m[2 * i], m[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    m[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    m[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    m[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    m[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(m[i], m[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(m[i], m[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_i32x4(m[8 + i], m[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(m[8 + i], m[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    m[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    m[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
    m[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    m[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd);
  }
}

// The elements [j, j + 32) of a row of `size`, rounded to bf16; zeros where the row has ended.
BERTIE_BF16_ATTENTION inline __m512i LoadRounded(const float* row, int64_t j, int64_t size) {
  const auto mask = [&](int64_t first) {
    const int64_t left = std::clamp<int64_t>(size - first, 0, 16);
    return static_cast<__mmask16>((1u << left) - 1);
  };
  const __m512 low = _mm512_maskz_loadu_ps(mask(j), row + j);
  const __m512 high = _mm512_maskz_loadu_ps(mask(j + 16), row + j + 16);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// Panels of K transposed: [padded_keys / kBF16DotWidth][head_pairs][kBF16DotWidth][2].
BERTIE_BF16_ATTENTION void PackKeys(const Layout& at, int64_t keys, int64_t size, const float* k,
                                    int64_t stride, std::byte* out) {
  for (int64_t key = 0; key < at.padded_keys; key += 16) {
    std::byte* panel =
        out + key / kBF16DotWidth * at.head_pairs * kBF16DotWidth * 4 + key % kBF16DotWidth * 4;
    const int64_t there = std::clamp<int64_t>(keys - key, 0, 16);
    for (int64_t pair = 0; pair < at.head_pairs; pair += 16) {
      __m512i m[16];
      for (int64_t i = 0; i < 16; ++i) {
        m[i] = i < there ? LoadRounded(k + (key + i) * stride, 2 * pair, size)
                         : _mm512_setzero_si512();
      }
      Transpose(m);
      const int64_t pairs = std::min<int64_t>(16, at.head_pairs - pair);
      for (int64_t i = 0; i < pairs; ++i) {
        _mm512_store_si512(panel + (pair + i) * kBF16DotWidth * 4, m[i]);
      }
    }
  }
}

// Panels of V: [padded_size / kBF16DotWidth][key_pairs][kBF16DotWidth][2].
BERTIE_BF16_ATTENTION void PackValues(const Layout& at, int64_t keys, int64_t size, const float* v,
                                      int64_t stride, std::byte* out) {
  // Takes element i of the first row and of the second in turns.
  alignas(64) uint16_t order[2][32];
  for (uint16_t i = 0; i < 16; ++i) {
    for (uint16_t half = 0; half < 2; ++half) {
      order[half][2 * i] = static_cast<uint16_t>(16 * half + i);
      order[half][2 * i + 1] = static_cast<uint16_t>(32 + 16 * half + i);
    }
  }
  const __m512i low = _mm512_load_si512(order[0]), high = _mm512_load_si512(order[1]);
  for (int64_t j = 0; j < at.padded_size; j += kBF16DotWidth) {
    for (int64_t key = 0; key < keys; key += 2) {
      const __m512i first = LoadRounded(v + key * stride, j, size);
      const __m512i second =
          key + 1 < keys ? LoadRounded(v + (key + 1) * stride, j, size) : _mm512_setzero_si512();
      _mm512_store_si512(out, _mm512_permutex2var_epi16(first, low, second));
      _mm512_store_si512(out + 64, _mm512_permutex2var_epi16(first, high, second));
      out += 128;
    }
  }
}

// 2^x for x <= 0 within a relative 7.5e-5, which the rounding to bf16 that follows hides: x = n +
// f, a polynomial in f fitted by 'tools/fit_exp2.py 3', and n added to its exponent. Additions,
// unlike vscalefps, leave the multipliers to the products.
BERTIE_BF16_ATTENTION inline __m512 Exp2(__m512 x) {
  // The exponent's range, and no -infinity. In this order a NaN stays one.
  x = _mm512_max_ps(_mm512_set1_ps(-125.0f), x);
  // Of a float this large the last bits are the whole number that x is nearest to.
  const __m512 shifted = _mm512_add_ps(x, _mm512_set1_ps(0x1.8p23f));
  const __m512 f = _mm512_sub_ps(x, _mm512_sub_ps(shifted, _mm512_set1_ps(0x1.8p23f)));
  __m512 p = _mm512_set1_ps(5.517166722e-2f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.426111221e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.932609858e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.999280736e-1f));
  const __m512i n = _mm512_slli_epi32((__m512i)shifted, 23);
  return (__m512)_mm512_add_epi32((__m512i)p, n);
}

// The largest of a row's scores. Those from `keys` on become -infinity.
BERTIE_BF16_ATTENTION float LargestScore(int64_t keys, int64_t padded, float* scores) {
  const __m512 least = _mm512_set1_ps(-INFINITY);
  if (keys < padded) {
    const auto beyond = ~uint32_t{0} << (keys - (padded - kBF16DotWidth));  // of the last 32
    _mm512_mask_storeu_ps(scores + padded - 32, static_cast<__mmask16>(beyond), least);
    _mm512_mask_storeu_ps(scores + padded - 16, static_cast<__mmask16>(beyond >> 16), least);
  }
  __m512 largest = least, largest1 = least;
  for (int64_t j = 0; j < padded; j += 32) {
    largest = _mm512_max_ps(largest, _mm512_loadu_ps(scores + j));
    largest1 = _mm512_max_ps(largest1, _mm512_loadu_ps(scores + j + 16));
  }
  return _mm512_reduce_max_ps(_mm512_max_ps(largest, largest1));
}

// 2^(factor (score - largest)) of a row, rounded to bf16; returns one over their sum before
// rounding.
BERTIE_BF16_ATTENTION float ExpRow(int64_t padded, float factor, float largest, const float* scores,
                                   std::byte* out) {
  const __m512 factors = _mm512_set1_ps(factor), top = _mm512_set1_ps(factor * largest);
  __m512 sum = _mm512_setzero_ps(), sum1 = _mm512_setzero_ps();
  for (int64_t j = 0; j < padded; j += 32) {
    const __m512 e = Exp2(_mm512_fmsub_ps(_mm512_loadu_ps(scores + j), factors, top));
    const __m512 e1 = Exp2(_mm512_fmsub_ps(_mm512_loadu_ps(scores + j + 16), factors, top));
    sum = _mm512_add_ps(sum, e);
    sum1 = _mm512_add_ps(sum1, e1);
    _mm512_storeu_si512(out + 2 * j, (__m512i)_mm512_cvtne2ps_pbh(e1, e));
  }
  return 1.0f / _mm512_reduce_add_ps(_mm512_add_ps(sum, sum1));
}

BERTIE_BF16_ATTENTION void ScaleRow(int64_t size, float factor, const float* x, float* out) {
  for (int64_t j = 0; j < size; j += 16) {
    const auto mask = static_cast<__mmask16>((1u << std::min<int64_t>(16, size - j)) - 1);
    _mm512_mask_storeu_ps(
        out + j, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + j), _mm512_set1_ps(factor)));
  }
}

}  // namespace

int64_t BF16AttentionScratch(int64_t keys, int64_t head_size) {
  return Layout(keys, head_size).bytes();
}

void BF16AttentionHead(const AttentionInput& in, int64_t sentence, int64_t head, float* out,
                       int64_t out_stride, std::byte* scratch) {
  const int64_t size = in.head_size;
  const int64_t q0 = in.query_offsets[sentence], k0 = in.key_offsets[sentence];
  const int64_t queries = in.query_offsets[sentence + 1] - q0;
  const int64_t keys = in.key_offsets[sentence + 1] - k0;
  constexpr float kLog2E = 1.44269504f;
  const float factor = kLog2E / std::sqrt(static_cast<float>(size));
  const Layout at(keys, size);
  std::byte* k = scratch;
  std::byte* v = k + at.keys_bytes();
  auto* scores = reinterpret_cast<float*>(v + at.values_bytes());
  std::byte* q = reinterpret_cast<std::byte*>(scores) + at.scores_bytes();
  std::byte* p = q + at.queries_bytes();
  auto* context = reinterpret_cast<float*>(p + at.probabilities_bytes());
  PackKeys(at, keys, size, in.k + k0 * in.kv_stride + head * size, in.kv_stride, k);
  PackValues(at, keys, size, in.v + k0 * in.kv_stride + head * size, in.kv_stride, v);
  for (int64_t first = 0; first < queries; first += kQueryRows) {
    const int rows = static_cast<int>(std::min(kQueryRows, queries - first));
    for (int r = 0; r < rows; ++r) {
      RoundToBF16(size, at.padded_size, in.q + (q0 + first + r) * in.q_stride + head * size,
                  q + r * at.query_stride);
    }
    for (int64_t j = 0; j < at.padded_keys; j += kBF16DotWidth) {
      BF16DotTile(rows, at.head_pairs, q, at.query_stride, k + j * at.head_pairs * 4, scores + j,
                  at.padded_keys, k, 0);
    }
    // Two loops: no row waits for the one before it to be summed up.
    float largest[kQueryRows], inverse[kQueryRows];
    for (int r = 0; r < rows; ++r) {
      largest[r] = LargestScore(keys, at.padded_keys, scores + r * at.padded_keys);
    }
    for (int r = 0; r < rows; ++r) {
      inverse[r] = ExpRow(at.padded_keys, factor, largest[r], scores + r * at.padded_keys,
                          p + r * at.probability_stride);
    }
    for (int64_t j = 0; j < at.padded_size; j += kBF16DotWidth) {
      BF16DotTile(rows, at.key_pairs, p, at.probability_stride, v + j * at.key_pairs * 4,
                  context + j, at.padded_size, v, 0);
    }
    for (int r = 0; r < rows; ++r) {
      ScaleRow(size, inverse[r], context + r * at.padded_size,
               out + (q0 + first + r) * out_stride + head * size);
    }
  }
}

}  // namespace bertie::kernels
