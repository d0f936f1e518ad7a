"""Fits the rational function of src/kernels/vector_math-inl.h: erf(x) ~ x P(x^2) / Q(x^2), |x| <= 3.92.

Iteratively reweighted least squares on Chebyshev nodes, in 40 digits. Needs mpmath.
erf(3.92) is 1 - 3e-8, half a unit in fp32's last place, so the argument is clamped there.
"""
import mpmath as mp

LIMIT = 3.92
NODES = 400
DEGREE = 5

mp.mp.dps = 40
xs = [LIMIT * (mp.cos(mp.pi * (i + mp.mpf(1) / 2) / NODES) + 1) / 2 for i in range(NODES)]
zs = [x * x for x in xs]
ys = [mp.erf(x) / x for x in xs]
weights = [mp.mpf(1)] * NODES
q_values = [mp.mpf(1)] * NODES
for _ in range(25):
    a, b = mp.matrix(NODES, 2 * DEGREE + 1), mp.matrix(NODES, 1)
    for i in range(NODES):
        scale = weights[i] / q_values[i] / ys[i]
        for j in range(DEGREE + 1):
            a[i, j] = zs[i] ** j * scale
        for j in range(1, DEGREE + 1):
            a[i, DEGREE + j] = -ys[i] * zs[i] ** j * scale
        b[i] = ys[i] * scale
    solution = mp.lu_solve(a.T * a, a.T * b)
    p = [solution[j] for j in range(DEGREE + 1)]
    q = [mp.mpf(1)] + [solution[DEGREE + j] for j in range(1, DEGREE + 1)]
    q_values = [mp.polyval(q[::-1], z) for z in zs]
    errors = [abs(mp.polyval(p[::-1], z) / qv / y - 1) for z, qv, y in zip(zs, q_values, ys)]
    worst = max(errors)
    weights = [w * (e / worst + mp.mpf("0.05")) ** mp.mpf("0.5") for w, e in zip(weights, errors)]
    largest = max(weights)
    weights = [w / largest for w in weights]
print("P", [mp.nstr(c, 10) for c in p])
print("Q", [mp.nstr(c, 10) for c in q])
print("largest relative error", mp.nstr(worst, 3))
