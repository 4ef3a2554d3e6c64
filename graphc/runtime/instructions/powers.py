"""Powers of floating-point numbers: x^y = exp(y log(x)), free of branches.

In float64 the logarithm is a sum of two numbers, or its error would be multiplied by y; in float32 the same formula is
evaluated in float64, which makes that unnecessary. Powers that are representable are exact.
"""

from __future__ import annotations

import math

from graphc.runtime.instructions.emit import types
from graphc.runtime.instructions.mathlib import DOUBLE, in_pairs, normal_parts
from graphc.runtime.instructions.scalar import (
    FUSED,
    INFINITY,
    NAN,
    Scalar,
    absolute,
    bits_of,
    converted,
    copysign,
    float_of,
    library_call,
    llvm_call,
    multiply_add,
    where,
)

__all__ = ["real_power"]

_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
_LOGARITHM = (
    0.11724684745071004,
    0.11706084307926354,
    0.1333481071975811,
    0.15384594844149144,
    0.18181818336585667,
    0.22222222221650165,
    0.28571428571429375,
    0.4,
)  # (2 artanh(s) - 2 s - 2/3 s^3) / s^5 of s^2, a minimax fit, highest coefficient first


def real_power(x: Scalar, y: Scalar) -> Scalar:
    """The power of x to y, with the special values of C's function pow."""
    if not FUSED:
        return library_call("pow", x, y)
    size = absolute(x)
    result = where(size == 1.0, 1.0, _positive_single(size, y) if x.bits == 32 else _positive_double(size, y))
    whole = llvm_call("floor", y) == y  # infinities too, which are even
    half = y * 0.5
    odd = whole & (llvm_call("floor", half) != half)
    result = where((x < 0.0) & (x != -INFINITY) & ~whole, NAN, where(odd, copysign(result, x), result))
    return where((y == 0.0) | (x == 1.0), 1.0, result)


def _positive_single(x: Scalar, y: Scalar) -> Scalar:
    """2^(y log2(x)) in float64, where polynomials of float32's precision and a little more will do."""
    x, y = converted(x, types.float64), converted(y, types.float64)
    n, f = normal_parts(x)
    s = f / (f + 2.0)
    square = s * s
    coefficients = tuple(value / math.log(2) for value in (*_LOGARITHM[3:], _TWO_THIRDS[0], 2.0))
    logarithm = multiply_add(s, in_pairs(square, square * square, coefficients), n)
    product = _clamped(_ends(x, logarithm) * y, 200.0)
    shifted = product + DOUBLE.shift
    r = (product - (shifted - DOUBLE.shift)) * math.log(2)
    square = r * r
    result = multiply_add(in_pairs(r, square, DOUBLE.exp[4:]), square, r + 1.0)
    return converted(result * _power_of_two(bits_of(shifted) - DOUBLE.shift_bits), types.float32)


def _power_of_two(n: Scalar) -> Scalar:
    """2^n in float64, for the exponents of normal numbers."""
    return float_of((n + DOUBLE.bias) << DOUBLE.mantissa)


def _positive_double(x: Scalar, y: Scalar) -> Scalar:
    high, low = _logarithm(x)
    high = _ends(x, high)
    product = high * y
    rest = multiply_add(low, y, multiply_add(high, y, -product))
    clamped = _clamped(product, 800.0)
    return _exp_of_sum(clamped, where(clamped == product, rest, 0.0))


def _ends(x: Scalar, logarithm: Scalar) -> Scalar:
    """The logarithm of x also where that is 0, infinite or NaN."""
    return where(x == 0.0, -INFINITY, where(x < INFINITY, logarithm, x))


def _clamped(exponent: Scalar, limit: float) -> Scalar:
    """An exponent of e that is not far beyond the ends of the range; NaN stays."""
    return where(exponent > limit, limit, where(exponent < -limit, -limit, exponent))


def _logarithm(x: Scalar) -> tuple[Scalar, Scalar]:
    """The natural logarithm of a positive number, as a sum with an error of some 2^-64 of it.

    log(1 + f) = 2 artanh(s) with s = f / (2 + f).
    """
    subnormal = x < DOUBLE.smallest_normal
    n, f = normal_parts(where(subnormal, x * 2.0**DOUBLE.mantissa, x))
    n = where(subnormal, n - float(DOUBLE.mantissa), n)
    # Of every factor and every sum, first the rounded value, then what rounding took from it.
    denominator = f + 2.0
    inverse = 1.0 / denominator
    s = f * inverse
    s_rest = multiply_add(-s, f - (denominator - 2.0), multiply_add(-s, denominator, f)) * inverse
    square = s * s
    square_rest = multiply_add(s * 2.0, s_rest, multiply_add(s, s, -square))
    cube = square * s
    cube_rest = multiply_add(square, s_rest, multiply_add(square_rest, s, multiply_add(square, s, -cube)))
    third = cube * _TWO_THIRDS[0]
    third_rest = multiply_add(cube, _TWO_THIRDS[0], -third) + multiply_add(
        cube, _TWO_THIRDS[1], cube_rest * _TWO_THIRDS[0]
    )
    tail = multiply_add(cube * square, in_pairs(square, square * square, _LOGARITHM), third_rest)
    whole = n * DOUBLE.ln2_high  # exact
    first = multiply_add(s, 2.0, whole)
    second = first + third
    rest = multiply_add(s, 2.0, whole - first) + ((first - second) + third)
    rest = rest + multiply_add(s_rest, 2.0, multiply_add(n, DOUBLE.ln2_low, tail))
    high = second + rest
    return high, (second - high) + rest


def _exp_of_sum(x: Scalar, rest: Scalar) -> Scalar:
    """e^(x + rest) for x between the limits and a rest that is little beside it."""
    shifted = multiply_add(x, 1 / math.log(2), DOUBLE.shift)
    n = shifted - DOUBLE.shift
    exact = multiply_add(n, -DOUBLE.ln2_high, x)
    rest = multiply_add(n, -DOUBLE.ln2_low, rest)
    r = exact + rest
    rest = (exact - r) + rest
    square = r * r
    top = r + 1.0
    bottom = multiply_add(square, in_pairs(r, square, DOUBLE.exp), multiply_add(rest, top, (1.0 - top) + r))
    exponent = bits_of(shifted) - DOUBLE.shift_bits
    half = ((exponent + 2 * DOUBLE.bias) >> 1) - DOUBLE.bias
    return (top + bottom) * _power_of_two(half) * _power_of_two(exponent - half)
