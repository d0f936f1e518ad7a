// What happens to a tile of C once its sums are complete. Included like microkernel-inl.h.

#include "kernels/targets.h"
//
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/matmul.h"
#include "kernels/vector_math-inl.h"

#if defined(BERTIE_EPILOGUE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BERTIE_EPILOGUE_INL_H_
#undef BERTIE_EPILOGUE_INL_H_
#else
#define BERTIE_EPILOGUE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What becomes of one vector of sums; residual: where the same elements of it are, if it has one.
template <Epilogue kEpilogue, class D, class V = hn::Vec<D>>
HWY_INLINE V Finish(D d, V sum, V bias, V residual) {
  if constexpr (kEpilogue == Epilogue::kNone) return sum;
  const V biased = hn::Add(sum, bias);
  if constexpr (kEpilogue == Epilogue::kBiasGelu) return Gelu(d, biased);
  if constexpr (kEpilogue == Epilogue::kBiasGeluRounded) return RoundedGelu(d, biased);
  if constexpr (kEpilogue == Epilogue::kBiasResidual) return hn::Add(biased, residual);
  return biased;
}

// body(std::integral_constant<Epilogue, epilogue>()).
template <class Body>
HWY_INLINE void WithEpilogue(Epilogue epilogue, const Body& body) {
  switch (epilogue) {
    case Epilogue::kNone:
      return body(std::integral_constant<Epilogue, Epilogue::kNone>());
    case Epilogue::kBias:
      return body(std::integral_constant<Epilogue, Epilogue::kBias>());
    case Epilogue::kBiasGelu:
      return body(std::integral_constant<Epilogue, Epilogue::kBiasGelu>());
    case Epilogue::kBiasGeluRounded:
      return body(std::integral_constant<Epilogue, Epilogue::kBiasGeluRounded>());
    case Epilogue::kBiasResidual:
      return body(std::integral_constant<Epilogue, Epilogue::kBiasResidual>());
  }
}

// A tile of C: rows [row, row + rows) and columns [column, column + columns), the first of them at
// c.
struct EpilogueTile {
  int64_t row, rows, column, columns;
  float* c;
  int64_t c_stride;
};

template <Epilogue kEpilogue>
void FinishTile(const MatMulOptions& options, const EpilogueTile& tile) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < tile.columns; j += lanes) {
    const int64_t n = std::min(lanes, tile.columns - j);
    // The tail goes through a padded copy: the same arithmetic, so the same bits.
    HWY_ALIGN float tail[hn::MaxLanes(d)] = {};
    const auto load = [&](const float* from) HWY_ATTR {
      if (HWY_LIKELY(n == lanes)) return hn::LoadU(d, from);
      std::memcpy(tail, from, static_cast<size_t>(n) * sizeof(float));
      return hn::Load(d, tail);
    };
    const V bias = load(options.bias + tile.column + j);
    const float* residual = options.residual + tile.row * options.residual_stride + tile.column + j;
    for (int64_t r = 0; r < tile.rows; ++r) {
      float* to = tile.c + r * tile.c_stride + j;
      V added = hn::Zero(d);
      if (kEpilogue == Epilogue::kBiasResidual)
        added = load(residual + r * options.residual_stride);
      const V value = Finish<kEpilogue>(d, load(to), bias, added);
      if (HWY_LIKELY(n == lanes)) {
        hn::StoreU(value, d, to);
      } else {
        hn::Store(value, d, tail);
        std::memcpy(to, tail, static_cast<size_t>(n) * sizeof(float));
      }
    }
  }
}

inline void ApplyEpilogueTo(const MatMulOptions& options, const EpilogueTile& tile) {
  WithEpilogue(options.epilogue, [&](auto epilogue) HWY_ATTR {
    if constexpr (epilogue() != Epilogue::kNone) FinishTile<epilogue()>(options, tile);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#endif  // BERTIE_EPILOGUE_INL_H_
