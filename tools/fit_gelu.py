"""Fits the polynomial of RoundedGelu in src/kernels/vector_math-inl.h: Phi(x) ~ 1/2 + x P(x^2), |x| <= 3.8.

Weighted least squares whose weights grow where x times the error is largest (Lawson's method). At 3.8
Phi is 1 - 7e-5, so the argument is clamped there. Needs numpy.
"""
from math import erf, pi, sqrt

import numpy as np

LIMIT = 3.8
TERMS = 7
NODES = 6000

x = LIMIT * np.cos(pi * (np.arange(NODES) + 0.5) / (2 * NODES))
y = np.array([erf(v / sqrt(2)) / 2 for v in x])
powers = np.stack([x * (x / LIMIT) ** (2 * k) for k in range(TERMS)], 1)
scale = x + 0.02  # some weight where x is small
weights = np.ones_like(x)
for _ in range(80):
    row = np.sqrt(weights) * scale
    solution = np.linalg.lstsq(powers * row[:, None], y * row, rcond=None)[0]
    weights = weights * (np.abs(powers @ solution - y) * scale + 1e-12)
    weights /= weights.sum()
p = [np.float32(c / LIMIT ** (2 * k)) for k, c in enumerate(solution)]
print("P", [f"{c:.9e}" for c in p])

far = np.linspace(-9, 9, 200001).astype(np.float32)
near = np.clip(far, -LIMIT, LIMIT).astype(np.float32)
value = np.full_like(far, p[-1])
for c in p[-2::-1]:
    value = value * near * near + c
gelu = far * (near * value + np.float32(0.5))
exact = np.array([v * (erf(v / sqrt(2)) + 1) / 2 for v in far.astype(float)])
print("largest error", np.abs(gelu - exact).max())
