// The dropout mask on vectors. Included like microkernel-inl.h.

#include "kernels/targets.h"
//
#include <hwy/highway.h>

#include <cmath>

#include "kernels/dropout.h"

#if defined(BERTIE_DROPOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BERTIE_DROPOUT_INL_H_
#undef BERTIE_DROPOUT_INL_H_
#else
#define BERTIE_DROPOUT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A bijection of 32-bit numbers with good avalanche (multiply-xorshift; the constants are Wellons'
// search result, github.com/skeeto/hash-prospector).
template <class V>
HWY_INLINE V MixBits(V x) {
  const hn::DFromV<V> d;
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<16>(x)), hn::Set(d, 0x7feb352du));
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<15>(x)), hn::Set(d, 0x846ca68bu));
  return hn::Xor(x, hn::ShiftRight<16>(x));
}

// Factors for elements index, index + 1, ...: 0 or 1 / (1 - probability).
class DropoutMask {
 public:
  explicit DropoutMask(const Dropout& dropout)
      : low_(static_cast<uint32_t>(dropout.key)),
        high_(static_cast<uint32_t>(dropout.key >> 32)),
        // Compared as signed, since AVX2 has no unsigned compare: hence the flipped top bit.
        threshold_(
            static_cast<int32_t>(static_cast<uint32_t>(std::lround(
                                     static_cast<double>(dropout.probability) * 4294967295.0)) ^
                                 0x80000000u)),
        scale_(1.0f / (1.0f - dropout.probability)) {}

  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V Factors(D d, uint32_t index) const {
    const hn::RebindToUnsigned<D> du;
    const hn::RebindToSigned<D> di;
    auto counter = hn::Add(hn::Iota(du, 0), hn::Set(du, index));
    auto bits = MixBits(hn::Add(MixBits(hn::Xor(counter, hn::Set(du, low_))), hn::Set(du, high_)));
    auto order = hn::BitCast(di, hn::Xor(bits, hn::Set(du, 0x80000000u)));
    auto kept = hn::RebindMask(d, hn::Not(hn::Lt(order, hn::Set(di, threshold_))));
    return hn::IfThenElseZero(kept, hn::Set(d, scale_));
  }

 private:
  uint32_t low_;
  uint32_t high_;
  int32_t threshold_;
  float scale_;
};

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#endif  // BERTIE_DROPOUT_INL_H_
