// Elementary functions on vectors of floats. Included like microkernel-inl.h.

#include "kernels/targets.h"
//
#include <hwy/highway.h>
// Separate from the above: math-inl.h needs it first.
#include <hwy/contrib/math/math-inl.h>

#if defined(BERTIE_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BERTIE_VECTOR_MATH_INL_H_
#undef BERTIE_VECTOR_MATH_INL_H_
#else
#define BERTIE_VECTOR_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace bertie::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// erf(x) = x P(x^2) / Q(x^2), fitted by tools/fit_erf.py: relative error 2e-8 before rounding,
// within 4e-7 in fp32. BERT's GELU is the erf form; the tanh form differs by up to 5e-4.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Erf(D d, V x) {
  const V limit = hn::Set(d, 3.92f);
  const V xc = hn::Max(hn::Min(x, limit), hn::Neg(limit));
  const V z = hn::Mul(xc, xc);
  V p = hn::Set(d, 2.050162400e-06f);
  p = hn::MulAdd(p, z, hn::Set(d, 2.848591550e-04f));
  p = hn::MulAdd(p, z, hn::Set(d, 3.764805248e-03f));
  p = hn::MulAdd(p, z, hn::Set(d, 5.274622782e-02f));
  p = hn::MulAdd(p, z, hn::Set(d, 1.903883302e-01f));
  p = hn::MulAdd(p, z, hn::Set(d, 1.128379147e+00f));
  V q = hn::Set(d, 3.809124818e-05f);
  q = hn::MulAdd(q, z, hn::Set(d, 1.162328156e-03f));
  q = hn::MulAdd(q, z, hn::Set(d, 1.496760504e-02f));
  q = hn::MulAdd(q, z, hn::Set(d, 1.141015253e-01f));
  q = hn::MulAdd(q, z, hn::Set(d, 5.020600106e-01f));
  q = hn::MulAdd(q, z, hn::Set(d, 1.0f));
  return hn::Div(hn::Mul(xc, p), q);
}

// GELU(x) = x Phi(x) (arXiv 1606.08415), Phi by erf.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Gelu(D d, V x) {
  const V half_x = hn::Mul(x, hn::Set(d, 0.5f));
  const V erf = Erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752f)));
  return hn::MulAdd(half_x, erf, half_x);
}

// GELU within 1.2e-4 for |x| <= 3.8 and 5e-5 |x| beyond, for results that are rounded to bf16 or
// int8 next: Phi(x) = 1/2 + x P(x^2), fitted by tools/fit_gelu.py.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V RoundedGelu(D d, V x) {
  const V limit = hn::Set(d, 3.8f);
  const V xc = hn::Max(hn::Min(x, limit), hn::Neg(limit));
  const V z = hn::Mul(xc, xc);
  V p = hn::Set(d, 3.032765861e-08f);
  p = hn::MulAdd(p, z, hn::Set(d, -1.960760528e-06f));
  p = hn::MulAdd(p, z, hn::Set(d, 5.469921598e-05f));
  p = hn::MulAdd(p, z, hn::Set(d, -8.752029389e-04f));
  p = hn::MulAdd(p, z, hn::Set(d, 9.049753658e-03f));
  p = hn::MulAdd(p, z, hn::Set(d, -6.514251232e-02f));
  p = hn::MulAdd(p, z, hn::Set(d, 3.982651234e-01f));
  return hn::Mul(x, hn::MulAdd(xc, p, hn::Set(d, 0.5f)));
}

// 2^x for x <= 0 within a relative 1.5e-7; below -125 as at -125. x = n + f, a polynomial in f
// fitted by 'tools/fit_exp2.py 5', and n added to its exponent.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp2(D d, V x) {
  const hn::RebindToSigned<D> di;
  x = hn::Max(hn::Set(d, -125.0f), x);  // in this order x86 keeps a NaN
  // Of a float this large the last bits are the whole number that x is nearest to.
  const V large = hn::Set(d, 0x1.8p23f);
  const V shifted = hn::Add(x, large);
  const V f = hn::Sub(x, hn::Sub(shifted, large));
  V p = hn::Set(d, 1.327647129e-03f);
  p = hn::MulAdd(p, f, hn::Set(d, 9.675540961e-03f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.550713092e-02f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.402212024e-01f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.931469440e-01f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.000000119e+00f));
  // Of a NaN the last bits are anything: Min gives `large` in its place, and p stays a NaN.
  const auto n = hn::ShiftLeft<23>(hn::BitCast(di, hn::Min(shifted, large)));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), n));
}

// d GELU / dx = Phi(x) + x phi(x).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluDerivative(D d, V x) {
  const V half = hn::Set(d, 0.5f);
  const V erf = Erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752f)));
  const V phi = hn::Mul(hn::Exp(d, hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5f))),
                        hn::Set(d, 0.39894228040143268f));
  return hn::MulAdd(x, phi, hn::MulAdd(half, erf, half));
}

}  // namespace HWY_NAMESPACE
}  // namespace bertie::kernels
HWY_AFTER_NAMESPACE();

#endif  // BERTIE_VECTOR_MATH_INL_H_
