// What happens to a tile of C once its sums are complete. Included like microkernel-inl.h.

#include "kernels/targets.h"
//
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

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

// To rows [row, row + rows) and columns [column, column + columns) of C, the first of them at c.
inline void ApplyEpilogueTo(const MatMulOptions& options, int64_t row, int64_t rows, int64_t column,
                            int64_t columns, float* c, int64_t c_stride) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < columns; j += lanes) {
    const int64_t n = std::min(lanes, columns - j);
    // The tail goes through a padded copy: the same arithmetic, so the same bits.
    HWY_ALIGN float tail[hn::MaxLanes(d)] = {};
    auto load = [&](const float* from) {
      if (n == lanes) return hn::LoadU(d, from);
      std::memcpy(tail, from, static_cast<size_t>(n) * sizeof(float));
      return hn::Load(d, tail);
    };
    const auto bias = load(options.bias + column + j);
    for (int64_t r = 0; r < rows; ++r) {
      float* to = c + r * c_stride + j;
      auto value = hn::Add(load(to), bias);
      if (options.epilogue == Epilogue::kBiasGelu) {
        value = Gelu(d, value);
      } else if (options.epilogue == Epilogue::kBiasResidual) {
        value = hn::Add(value,
                        load(options.residual + (row + r) * options.residual_stride + column + j));
      }
      if (n == lanes) {
        hn::StoreU(value, d, to);
      } else {
        hn::Store(value, d, tail);
        std::memcpy(to, tail, static_cast<size_t>(n) * sizeof(float));
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#endif  // BERTIE_EPILOGUE_INL_H_
