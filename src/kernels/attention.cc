#include "kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cc"
#include "kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/bf16_attention.h"
#include "kernels/dropout-inl.h"
#include "kernels/microkernel-inl.h"
#include "kernels/vector_math-inl.h"
#include "kernels/x86_features.h"

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {

// Queries worked on at a time: bounds the scores' memory at 512 keys to 192 KiB.
constexpr int64_t kQueryBlock = 96;

HWY_INLINE int64_t Padded(int64_t columns) {
  const int64_t width = TileColumns();
  return (columns + width - 1) / width * width;
}

// All panels of B (see PackPanel), one after the other.
void PackAllPanels(int64_t depth, int64_t columns, const float* b, int64_t depth_stride,
                   int64_t column_stride, float* out) {
  const int64_t width = TileColumns();
  for (int64_t j = 0; j < columns; j += width) {
    PackPanel(depth, columns - j, b + j * column_stride, depth_stride, column_stride, out);
    out += depth * width;
  }
}

// C (+)= A B for packed B, on this thread.
void SmallMatMul(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t row_stride,
                 int64_t depth_stride, const float* b, float* c, int64_t c_stride,
                 bool accumulate) {
  const int64_t width = TileColumns();
  for (int64_t j = 0; j < columns; j += width) {
    for (int64_t i = 0; i < rows; i += kTileRows) {
      TileRowsEdge(static_cast<int>(std::min<int64_t>(kTileRows, rows - i)), columns - j, depth,
                   TileOfA{a + i * row_stride, row_stride, depth_stride}, Panel<float>{b, b, 0},
                   c + i * c_stride + j, c_stride, accumulate);
    }
    b += depth * width;
  }
}

// The largest of a row's scores. Columns beyond `keys` become smaller than any.
float LargestScore(int64_t keys, int64_t padded, float* row) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = keys; j < padded; ++j) row[j] = -3.0e38f;
  auto largest = hn::Set(d, -3.0e38f);
  for (int64_t j = 0; j < padded; j += lanes) largest = hn::Max(largest, hn::LoadU(d, row + j));
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

// 2^(factor (score - largest)) of a row, in place; returns one over their sum.
float ExpRow(int64_t keys, int64_t padded, float factor, float largest, float* row) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factors = hn::Set(d, factor), top = hn::Set(d, largest);
  auto sum = hn::Zero(d);
  for (int64_t j = 0; j < padded; j += lanes) {
    const auto e = Exp2(d, hn::Mul(hn::Sub(hn::LoadU(d, row + j), top), factors));
    hn::StoreU(e, d, row + j);
    sum = hn::Add(sum, e);
  }
  for (int64_t j = keys; j < padded; ++j) row[j] = 0;
  return 1.0f / hn::GetLane(hn::SumOfLanes(d, sum));
}

// Rows of scores to probabilities, in place; columns beyond `keys` become zero. Three loops: no row
// waits for the one before it to be summed up.
void SoftmaxRows(int64_t count, int64_t keys, int64_t padded, float scale, float* rows) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr float kLog2E = 1.44269504f;
  float largest[kQueryBlock], inverse[kQueryBlock];
  for (int64_t i = 0; i < count; ++i) largest[i] = LargestScore(keys, padded, rows + i * padded);
  for (int64_t i = 0; i < count; ++i) {
    inverse[i] = ExpRow(keys, padded, scale * kLog2E, largest[i], rows + i * padded);
  }
  for (int64_t i = 0; i < count; ++i) {
    const auto factor = hn::Set(d, inverse[i]);
    float* row = rows + i * padded;
    for (int64_t j = 0; j < padded; j += lanes) {
      hn::StoreU(hn::Mul(hn::LoadU(d, row + j), factor), d, row + j);
    }
  }
}

// row *= mask; the index of an element is unique for (query row, head, key) below 2^32.
void DropRow(const DropoutMask& mask, uint32_t index, int64_t padded, float* row) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < padded; j += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, row + j), mask.Factors(d, index + static_cast<uint32_t>(j))), d,
               row + j);
  }
}

// One sentence and head, with what both passes need.
struct Head {
  const float* q;
  const float* k;
  const float* v;
  int64_t queries;
  int64_t keys;
  int64_t query0;  // row of q
  int64_t index;   // head
  float scale;
};

Head MakeHead(const AttentionInput& in, int64_t sentence, int64_t head) {
  const int64_t q0 = in.query_offsets[sentence];
  const int64_t k0 = in.key_offsets[sentence];
  const int64_t column = head * in.head_size;
  return {in.q + q0 * in.q_stride + column,
          in.k + k0 * in.kv_stride + column,
          in.v + k0 * in.kv_stride + column,
          in.query_offsets[sentence + 1] - q0,
          in.key_offsets[sentence + 1] - k0,
          q0,
          head,
          1.0f / std::sqrt(static_cast<float>(in.head_size))};
}

uint32_t DropIndex(const AttentionInput& in, const Head& head, int64_t query) {
  // 512 keys at most in any BERT; a longer table only repeats mask bits far apart.
  return static_cast<uint32_t>(((head.query0 + query) * in.heads + head.index) * 512);
}

// probabilities[count][padded] of queries [first, first + count), before dropout.
void Probabilities(const AttentionInput& in, const Head& head, int64_t first, int64_t count,
                   const float* k_transposed, float* probabilities) {
  const int64_t padded = Padded(head.keys);
  SmallMatMul(count, padded, in.head_size, head.q + first * in.q_stride, in.q_stride, 1,
              k_transposed, probabilities, padded, false);
  SoftmaxRows(count, head.keys, padded, head.scale, probabilities);
}

void AttentionHead(const AttentionInput& in, int64_t sentence, int64_t index, float* out,
                   int64_t out_stride, float* scratch) {
  const Head head = MakeHead(in, sentence, index);
  const int64_t padded = Padded(head.keys);
  float* k_transposed = scratch;
  float* v_panels = k_transposed + in.head_size * padded;
  float* scores = v_panels + head.keys * Padded(in.head_size);
  PackAllPanels(in.head_size, head.keys, head.k, 1, in.kv_stride, k_transposed);
  PackAllPanels(head.keys, in.head_size, head.v, in.kv_stride, 1, v_panels);
  const DropoutMask mask(in.dropout);
  for (int64_t first = 0; first < head.queries; first += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, head.queries - first);
    Probabilities(in, head, first, count, k_transposed, scores);
    if (in.dropout.active()) {
      for (int64_t i = 0; i < count; ++i) {
        DropRow(mask, DropIndex(in, head, first + i), padded, scores + i * padded);
      }
    }
    SmallMatMul(count, in.head_size, head.keys, scores, padded, 1, v_panels,
                out + (head.query0 + first) * out_stride + index * in.head_size, out_stride, false);
  }
}

// d_scores = p * (mask * d_p - sum(p * mask * d_p)) * scale for one row; d_p is overwritten, and p
// becomes p * mask, which is what dv needs.
void SoftmaxBackwardRow(const DropoutMask* mask, uint32_t index, int64_t padded, float scale,
                        float* p, float* d_p) {
  const Floats d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  for (int64_t j = 0; j < padded; j += lanes) {
    auto gradient = hn::LoadU(d, d_p + j);
    if (mask != nullptr) {
      gradient = hn::Mul(gradient, mask->Factors(d, index + static_cast<uint32_t>(j)));
      hn::StoreU(gradient, d, d_p + j);
    }
    sum = hn::MulAdd(hn::LoadU(d, p + j), gradient, sum);
  }
  const auto total = hn::SumOfLanes(d, sum);
  const auto factor = hn::Set(d, scale);
  for (int64_t j = 0; j < padded; j += lanes) {
    const auto probability = hn::LoadU(d, p + j);
    const auto difference = hn::Sub(hn::LoadU(d, d_p + j), total);
    hn::StoreU(hn::Mul(hn::Mul(probability, difference), factor), d, d_p + j);
  }
  if (mask != nullptr) DropRow(*mask, index, padded, p);
}

void AttentionHeadBackward(const AttentionInput& in, int64_t sentence, int64_t index,
                           const float* d_out, int64_t out_stride, const AttentionGradients& grad,
                           float* scratch) {
  const Head head = MakeHead(in, sentence, index);
  const int64_t size = in.head_size;
  const int64_t padded = Padded(head.keys);
  const int64_t column = index * size;
  float* k_transposed = scratch;
  float* v_transposed = k_transposed + size * padded;
  float* k_panels = v_transposed + size * padded;
  float* row_panels = k_panels + head.keys * Padded(size);  // of q or d_out, one block of queries
  float* p = row_panels + kQueryBlock * Padded(size);
  float* d_p = p + kQueryBlock * padded;
  PackAllPanels(size, head.keys, head.k, 1, in.kv_stride, k_transposed);
  PackAllPanels(size, head.keys, head.v, 1, in.kv_stride, v_transposed);
  PackAllPanels(head.keys, size, head.k, in.kv_stride, 1, k_panels);
  const int64_t k0 = in.key_offsets[sentence];
  float* dk = grad.dk + k0 * grad.kv_stride + column;
  float* dv = grad.dv + k0 * grad.kv_stride + column;
  const DropoutMask mask(in.dropout);
  for (int64_t first = 0; first < head.queries; first += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, head.queries - first);
    const float* d_rows = d_out + (head.query0 + first) * out_stride + column;
    const float* q_rows = head.q + first * in.q_stride;
    Probabilities(in, head, first, count, k_transposed, p);
    SmallMatMul(count, padded, size, d_rows, out_stride, 1, v_transposed, d_p, padded, false);
    for (int64_t i = 0; i < count; ++i) {
      SoftmaxBackwardRow(in.dropout.active() ? &mask : nullptr, DropIndex(in, head, first + i),
                         padded, head.scale, p + i * padded, d_p + i * padded);
    }
    PackAllPanels(count, size, d_rows, out_stride, 1, row_panels);
    SmallMatMul(head.keys, size, count, p, 1, padded, row_panels, dv, grad.kv_stride, first > 0);
    PackAllPanels(count, size, q_rows, in.q_stride, 1, row_panels);
    SmallMatMul(head.keys, size, count, d_p, 1, padded, row_panels, dk, grad.kv_stride, first > 0);
    SmallMatMul(count, size, head.keys, d_p, padded, 1, k_panels,
                grad.dq + (head.query0 + first) * grad.q_stride + column, grad.q_stride, false);
  }
}

// Floats that one head of a sentence of `keys` keys needs, for either pass.
int64_t HeadScratch(int64_t keys, int64_t head_size) {
  const int64_t padded = Padded(keys);
  const int64_t size = Padded(head_size);
  return 2 * size * padded + keys * size + kQueryBlock * size + 2 * kQueryBlock * padded;
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bertie::kernels {

HWY_EXPORT(AttentionHead);
HWY_EXPORT(AttentionHeadBackward);
HWY_EXPORT(HeadScratch);

namespace {

// Keys of the longest sentence.
int64_t Longest(const AttentionInput& input) {
  int64_t longest = 0;
  for (int64_t s = 0; s < input.sentences; ++s) {
    longest = std::max<int64_t>(longest, input.key_offsets[s + 1] - input.key_offsets[s]);
  }
  return longest;
}

// Runs body(sentence, head, scratch) for all sentences and heads, each with `floats` of scratch.
template <class Body>
void ForEachHead(const AttentionInput& input, int64_t floats, Buffer& scratch, ThreadPool& pool,
                 const Body& body) {
  // A whole number of cache lines, so that each worker's part stays aligned.
  const int64_t part = (floats + 15) / 16 * 16;
  float* memory = scratch.Resize(part * pool.size());
  pool.ParallelFor(input.sentences * input.heads, [&](int64_t task, int worker) {
    body(task / input.heads, task % input.heads, memory + worker * part);
  });
}

}  // namespace

void Attention(const AttentionInput& input, float* out, int64_t out_stride, Buffer& scratch,
               ThreadPool& pool) {
  if (input.bf16_products && !input.dropout.active() && UseBF16Dot()) {
    return ForEachHead(input, BF16AttentionScratch(Longest(input), input.head_size) / 4, scratch,
                       pool, [&](int64_t sentence, int64_t head, float* memory) {
                         BF16AttentionHead(input, sentence, head, out, out_stride,
                                           reinterpret_cast<std::byte*>(memory));
                       });
  }
  const int64_t floats = HWY_DYNAMIC_DISPATCH(HeadScratch)(Longest(input), input.head_size);
  ForEachHead(input, floats, scratch, pool, [&](int64_t sentence, int64_t head, float* memory) {
    HWY_DYNAMIC_DISPATCH(AttentionHead)(input, sentence, head, out, out_stride, memory);
  });
}

void AttentionBackward(const AttentionInput& input, const float* d_out, int64_t out_stride,
                       const AttentionGradients& gradients, Buffer& scratch, ThreadPool& pool) {
  const int64_t floats = HWY_DYNAMIC_DISPATCH(HeadScratch)(Longest(input), input.head_size);
  ForEachHead(input, floats, scratch, pool, [&](int64_t sentence, int64_t head, float* memory) {
    HWY_DYNAMIC_DISPATCH(AttentionHeadBackward)
    (input, sentence, head, d_out, out_stride, gradients, memory);
  });
}

}  // namespace bertie::kernels
#endif  // HWY_ONCE
