"""Fits the polynomials of Sources/CKernels/Vector/gelu.h and prints their coefficients, lowest power first; with --tables, all of
Sources/CKernels/Vector/gelu_tables.h instead.

    scripts/reference/gelu_polynomials.py [--tables]

The first two are of least relative error over their range, the third of least absolute error, those of the tables of least relative error over
their part: least squares on Chebyshev nodes, the weights raised where the error is large (Lawson's iteration). The coefficients are rounded to
float32 one by one, lowest power first, and the others are fitted anew after each.
"""

import sys
import textwrap

import numpy as np
from scipy.special import erf, erfc, erfcx

BOUND = 1.0  # the first polynomial holds below it, the second from it to 15
SCALE = 0.4  # t = 1 / (1 + SCALE a)
CLAMP = 4.25  # the third stands for all: beyond, Phi is 1 but for 1e-5


def fit(x, powers, values, weights):
    """The float32 coefficients of `powers` (one row for each x), and their largest weighted error."""
    lawson = np.ones_like(x)

    def solve(columns, rest):
        scale = np.sqrt(lawson) * weights
        return np.linalg.lstsq(powers[:, columns] * scale[:, None], rest * scale, rcond=None)[0]

    columns = list(range(powers.shape[1]))
    for _ in range(60):
        error = np.abs(powers @ solve(columns, values) - values) * weights
        lawson *= error / error.max() + 1e-3
        lawson /= lawson.mean()

    coefficients, rest = [], values.copy()
    while columns:
        coefficients.append(np.float32(solve(columns, rest)[0]))
        rest -= powers[:, columns.pop(0)] * float(coefficients[-1])
    return coefficients, np.abs(rest * weights).max()


def nodes(low, high, count=600):
    return np.cos((np.arange(count) + 0.5) * np.pi / count) * (high - low) / 2 + (high + low) / 2


def centre(degree=5):
    """S(x^2) = (Phi(x) - 1/2) / x for |x| < BOUND; the error is relative to Phi(-|x|), where it weighs most."""
    x = nodes(0, BOUND)
    powers = (x[:, None] ** 2) ** np.arange(degree + 1)
    return fit(x, powers, erf(x / np.sqrt(2)) / (2 * x), 2 * x / erfc(x / np.sqrt(2)))


def tail(degree=8):
    """P(t) with t P(t) = exp(a^2 / 2) (1 - Phi(a)) for a in BOUND...15."""
    t = nodes(1 / (1 + SCALE * 15), 1 / (1 + SCALE * BOUND))
    a = (1 / t - 1) / SCALE
    values = erfcx(a / np.sqrt(2)) / (2 * t)
    return fit(t, t[:, None] ** np.arange(degree + 1), values, 1 / values)


def rough(degree=8):
    """R(x^2) = (Phi(x) - 1/2) / x for |x| < CLAMP; the error is that of x (1/2 + x R(x^2))."""
    x = nodes(0, CLAMP)
    powers = (x[:, None] ** 2) ** np.arange(degree + 1)
    return fit(x, powers, erf(x / np.sqrt(2)) / (2 * x), x**2)


PARTS = 32  # of 0...8, each PART wide, around its multiples; in the last Q is taken for 0
PART = 0.25


def tables(degree):
    """For each part the polynomial of degree `degree` in d = a - PART part, for Q(a) = 1 - Phi(a)."""
    rows, largest = [], 0
    for part in range(PARTS - 1):
        centre = part * PART
        d = nodes(-PART / 2 if part else 0, PART / 2)
        values = erfc((centre + d) / np.sqrt(2)) / 2
        coefficients, error = fit(d, d[:, None] ** np.arange(degree + 1), values, 1 / values)
        rows.append(coefficients)
        largest = max(largest, error * np.max(values * np.abs(centre + d)))
    rows.append([np.float32(0)] * (degree + 1))
    return np.array(rows).T, largest


def literal(value):
    text = f"{value:.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def print_tables():
    print("/// Tables of GELU by scripts/reference/gelu_polynomials.py --tables. gelu.h explains them.\n")
    print("#ifndef CKERNELS_VECTOR_GELU_TABLES_H\n#define CKERNELS_VECTOR_GELU_TABLES_H\n")
    for name, degree in {"gelu_table": 5, "rough_gelu_table": 2}.items():
        table, error = tables(degree)
        print(f"/// Largest error of a Q(a): {error:.1e}.")
        print(f"static const float {name}[{degree + 1}][{PARTS}] __attribute__((aligned(64))) = {{")
        for row in table:
            text = ", ".join(literal(value) for value in row)
            print("    {" + textwrap.fill(text, width=112, subsequent_indent="     ") + "},")
        print("};")
    print("\n#endif")


def print_polynomials():
    for name, (coefficients, error) in {"S": centre(), "P": tail(), "R": rough()}.items():
        print(f"{name}, largest error {error:.1e}")
        for coefficient in coefficients:
            print(f"  {coefficient:.9g}f")


if sys.argv[1:] == ["--tables"]:
    print_tables()
else:
    print_polynomials()
