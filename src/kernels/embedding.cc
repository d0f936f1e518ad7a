#include "kernels/embedding.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/embedding.cc"
#include "kernels/targets.h"
//
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/row_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {

// Elements j and on of a row, as many as d has.
struct FloatRow {
  const float* row;

  template <class D>
  HWY_INLINE hn::Vec<D> At(D d, int64_t j) const {
    return hn::LoadU(d, row + j);
  }
};

struct BF16Row {
  const uint16_t* row;

  template <class D>
  HWY_INLINE hn::Vec<D> At(D d, int64_t j) const {
    const hn::RebindToUnsigned<D> du;
    const hn::Rebind<uint16_t, D> half;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(half, row + j))));
  }
};

struct Int8Row {
  const int8_t* row;
  float scale;

  template <class D>
  HWY_INLINE hn::Vec<D> At(D d, int64_t j) const {
    const hn::RebindToSigned<D> di;
    const hn::Rebind<int8_t, D> quarter;
    const auto whole = hn::PromoteTo(di, hn::LoadU(quarter, row + j));
    return hn::Mul(hn::Set(d, scale), hn::ConvertTo(d, whole));
  }
};

template <class Word>
void AddRows(int64_t count, const Word& word, const float* type, const float* position,
             float* out) {
  ForVectors(count, [&](auto d, int64_t j) HWY_ATTR {
    const auto sum = hn::Add(word.At(d, j), hn::LoadU(d, type + j));
    hn::StoreU(hn::Add(sum, hn::LoadU(d, position + j)), d, out + j);
  });
}

void EmbedToken(int64_t hidden, const WordRows& word, int64_t id, const float* type,
                const float* position, float* out) {
  const int64_t at = id * hidden;
  switch (word.type) {
    case WeightType::kF32:
      return AddRows(hidden, FloatRow{static_cast<const float*>(word.values) + at}, type, position,
                     out);
    case WeightType::kBF16:
      return AddRows(hidden, BF16Row{static_cast<const uint16_t*>(word.values) + at}, type,
                     position, out);
    case WeightType::kI8:
      return AddRows(hidden, Int8Row{static_cast<const int8_t*>(word.values) + at, word.scales[id]},
                     type, position, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bertie::kernels {

HWY_EXPORT(EmbedToken);

void Embed(const EmbeddingInput& input, const EmbeddingTables& tables, float* out,
           ThreadPool& pool) {
  const int64_t hidden = input.hidden;
  pool.ParallelFor(input.sentences, [&](int64_t sentence, int) {
    const int64_t first = input.cumulative_seq_lengths[sentence];
    const int64_t last = input.cumulative_seq_lengths[sentence + 1];
    for (int64_t t = first; t < last; ++t) {
      HWY_DYNAMIC_DISPATCH(EmbedToken)
      (hidden, tables.word, input.token_ids[t], tables.type + input.type_ids[t] * hidden,
       tables.position + (t - first) * hidden, out + t * hidden);
    }
  });
}

namespace {

// The compiler's own vectors are as fast as memory.
void AddRow(int64_t count, const float* __restrict x, float* __restrict y) {
  for (int64_t j = 0; j < count; ++j) y[j] += x[j];
}

}  // namespace

void EmbedBackward(const EmbeddingInput& input, const float* d_out,
                   const EmbeddingGradients& gradients, ThreadPool& pool) {
  // Stripes of columns: each table's element is one worker's alone, added to in token order.
  constexpr int64_t kStripe = 64;
  const int64_t hidden = input.hidden;
  pool.ParallelFor((hidden + kStripe - 1) / kStripe, [&](int64_t stripe, int) {
    const int64_t j = stripe * kStripe;
    const int64_t count = std::min(kStripe, hidden - j);
    for (int64_t sentence = 0; sentence < input.sentences; ++sentence) {
      const int64_t first = input.cumulative_seq_lengths[sentence];
      for (int64_t t = first; t < input.cumulative_seq_lengths[sentence + 1]; ++t) {
        const float* row = d_out + t * hidden + j;
        AddRow(count, row, gradients.word + input.token_ids[t] * hidden + j);
        AddRow(count, row, gradients.type + input.type_ids[t] * hidden + j);
        AddRow(count, row, gradients.position + (t - first) * hidden + j);
      }
    }
  });
}

}  // namespace bertie::kernels
#endif  // HWY_ONCE
