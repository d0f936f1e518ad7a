"""Fits a polynomial to 2^f, |f| <= 1/2. Its degree is the argument: 5 for Exp2 in
src/kernels/vector_math-inl.h, 3 for that in src/kernels/bf16_attention.cc.

Least squares of the relative error, whose weights grow where it is largest (Lawson's method). Needs
numpy.
"""
import sys

import numpy as np

DEGREE = int(sys.argv[1])
NODES = 4000

f = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES) / 2
powers = np.vander(f, DEGREE + 1) / (2.0**f)[:, None]
weights = np.ones_like(f)
for _ in range(300):
    row = np.sqrt(weights)
    solution = np.linalg.lstsq(powers * row[:, None], row, rcond=None)[0]
    error = np.abs(powers @ solution - 1)
    weights = weights * (error / error.max() + 1e-9)
    weights /= weights.sum()
print("P, the highest power first", [f"{np.float32(c):.9e}" for c in solution])
print("largest relative error", error.max())
