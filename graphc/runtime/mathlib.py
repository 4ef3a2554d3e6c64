"""The transcendental functions of kernels.

LLVM has no vector versions of them, and calls of the C library keep loops scalar, so the common ones are written out
here, free of branches; the others call the C library. They treat the special values of IEEE 754 as C's functions do.

Largest errors found, in units in the last place, over all float32 arguments and over two million float64 ones:

========  ====  =====  ====  =====  ====  =======  ========  ====
function  exp   expm1  log   log1p  tanh  sigmoid  softplus  erf
float32   0.99  1.44   0.83  1.44   2.43  1.48     1.99      1.11
float64   0.95  1.80   0.81  1.44   2.53  1.37     1.85      C's
========  ====  =====  ====  =====  ====  =======  ========  ====
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from graphc.runtime.scalar import (
    FLOATS,
    INFINITY,
    NAN,
    Scalar,
    absolute,
    bits_of,
    copysign,
    float_of,
    kernel_function,
    library_call,
    llvm_call,
    multiply_add,
    polynomial,
    where,
)

MATHEMATICS: dict[str, Any] = {}
"""What kernels may call, by name."""


@dataclass(frozen=True, slots=True)
class _Format:
    """A floating-point format and its constants; polynomials are minimax fits, highest coefficient first."""

    mantissa: int  # bits
    bias: int
    shift: float  # 1.5 * 2^mantissa: added to a small number, leaves the nearest whole number in the low bits
    shift_bits: int
    sqrt_half_bits: int
    smallest_normal: float
    tiny: float  # below it, f(x) = x to the last place where f(0) = 0 and f'(0) = 1
    exp_limits: tuple[float, float]  # where exp is 0, where it is infinite
    expm1_limit: float  # where expm1 is -1
    ln2_high: float  # with trailing zeros, so that its product with an exponent is exact
    ln2_low: float
    exp: tuple[float, ...]  # (exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2
    tanh_limit: float  # where tanh is 1


_SINGLE = _Format(
    mantissa=23,
    bias=127,
    shift=12582912.0,
    shift_bits=0x4B400000,
    sqrt_half_bits=0x3F3504F3,
    smallest_normal=2.0**-126,
    tiny=2.0**-24,
    exp_limits=(-103.97208, 88.72284),
    expm1_limit=-20.0,
    ln2_high=0.693359375,
    ln2_low=-2.12194440e-4,
    exp=(0.000199076414, 0.00139336882, 0.00833328627, 0.041666463, 0.166666672, 0.5),
    tanh_limit=9.1,
)
DOUBLE = _Format(
    mantissa=52,
    bias=1023,
    shift=6755399441055744.0,
    shift_bits=0x4338000000000000,
    sqrt_half_bits=0x3FE6A09E667F3BCD,
    smallest_normal=2.0**-1022,
    tiny=2.0**-53,
    exp_limits=(-745.1332191019412, 709.782712893384),
    expm1_limit=-40.0,
    ln2_high=6.93147180369123816490e-01,
    ln2_low=1.90821492927058770002e-10,
    exp=(
        2.0921622133997405e-09,
        2.5105259775228673e-08,
        2.7557252820351294e-07,
        2.7557255297356865e-06,
        2.480158734742971e-05,
        0.00019841269874901822,
        0.0013888888888874363,
        0.008333333333326112,
        0.041666666666666685,
        0.1666666666666667,
        0.5,
    ),
    tanh_limit=19.1,
)


def _format(x: Scalar) -> _Format:
    return _SINGLE if x.bits == 32 else DOUBLE


def in_pairs(x: Scalar, square: Scalar, coefficients: tuple[float, ...]) -> Scalar:
    """The polynomial with these `coefficients`, highest first; with half as many operations in a row as Horner's rule.

    Where a loop does much for an item, it is how long one item takes that counts, not how many operations there are.
    """
    even, odd = coefficients[-1::-2][::-1], coefficients[-2::-2][::-1]
    pairs = [multiply_add(x, high, low) for high, low in zip(odd[::-1], even[::-1], strict=False)][::-1]
    value = x.constant(even[0]) if len(even) > len(odd) else pairs.pop(0)
    for pair in pairs:
        value = multiply_add(value, square, pair)
    return value


def exp_parts(x: Scalar) -> tuple[Scalar, Scalar]:
    """(q, n) with exp(x) = 2^n (1 + q), n a whole number as an integer.

    x = n ln 2 + r with |r| <= ln(2)/2, the product n ln 2 in two parts (Cody and Waite, 1980); q = r + r^2 P(r).
    """
    form = _format(x)
    shifted = multiply_add(x, 1 / math.log(2), form.shift)
    n = shifted - form.shift
    r = multiply_add(n, -form.ln2_low, multiply_add(n, -form.ln2_high, x))
    square = r * r
    q = multiply_add(in_pairs(r, square, form.exp), square, r)
    return q, bits_of(shifted) - form.shift_bits


def power_of_two(n: Scalar) -> Scalar:
    """2^n for the exponents of normal numbers."""
    form = _SINGLE if n.bits == 32 else DOUBLE
    return float_of((n + form.bias) << form.mantissa)


@kernel_function(MATHEMATICS, *FLOATS)
def exp(x: Scalar) -> Scalar:
    """e^x."""
    form = _format(x)
    lowest, highest = form.exp_limits
    underflow = x < lowest
    # Where the result is 0, a harmless 0 takes the place of x: arithmetic that underflows is slow.
    z = where(underflow, 0.0, where(x > highest + 0.5, highest + 0.5, x))
    q, n = exp_parts(z)
    # 2^n in two factors: either is normal, also where the result is not, and their product is infinite where it is.
    half = ((n + 2 * form.bias) >> 1) - form.bias
    result = (q + 1.0) * power_of_two(half) * power_of_two(n - half)
    return where(underflow, 0.0, result)


@kernel_function(MATHEMATICS, *FLOATS)
def expm1(x: Scalar) -> Scalar:
    """e^x - 1."""
    form = _format(x)
    highest = form.exp_limits[1]
    overflow = x > highest
    z = where(x < form.expm1_limit, form.expm1_limit, where(overflow, 0.0, x))
    q, n = exp_parts(z)
    scale = power_of_two(n - 1)  # 2^n may be too large
    result = 2.0 * multiply_add(scale, q, scale - 0.5)
    return where(absolute(x) < form.tiny, x, where(overflow, INFINITY, result))


@kernel_function(MATHEMATICS, *FLOATS)
def log(x: Scalar) -> Scalar:
    """The natural logarithm."""
    form = _format(x)
    subnormal = x < form.smallest_normal
    scale = where(subnormal, x.constant(-form.mantissa), 0.0)
    return _log_specials(x, log_normal(where(subnormal, x * 2.0**form.mantissa, x), scale))


def _log_specials(x: Scalar, result: Scalar) -> Scalar:
    """`result`, the logarithm of `x`, except where `x` is not positive and finite."""
    result = where(x < INFINITY, result, x)  # infinity and NaN
    return where(x < 0.0, NAN, where(x == 0.0, -INFINITY, result))


def log_normal(x: Scalar, scale: Scalar | float = 0.0) -> Scalar:
    """log(x) + scale ln 2 for normal numbers.

    x = 2^n (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); log(x) = n ln 2 + log(1 + f).
    """
    form = _format(x)
    bits = bits_of(x)
    biased = (bits + ((form.bias << form.mantissa) - form.sqrt_half_bits)) >> form.mantissa
    f = float_of(bits - ((biased - form.bias) << form.mantissa)) - 1.0
    n = float_of(biased + (form.shift_bits - form.bias)) - form.shift + scale
    return multiply_add(n, form.ln2_high, f + _log_correction(f, n * form.ln2_low))


def _log_correction(f: Scalar, low: Scalar) -> Scalar:
    """log(1 + f) - f + low for sqrt(1/2) - 1 <= f < sqrt(2) - 1."""
    square = f * f
    if f.bits == 32:
        return multiply_add(square, -0.5, multiply_add(polynomial(f, _LOG_SINGLE) * f, square, low))
    # FreeBSD's e_log.c: with s = f / (2 + f), log(1 + f) = 2 s + s R(s^2) = f - f^2/2 + s (f^2/2 + R(s^2))
    s = f / (f + 2.0)
    half = square * 0.5
    z = s * s
    return multiply_add(s, half + z * polynomial(z, _LOG_DOUBLE), low) - half


_LOG_SINGLE = (
    0.0733249635,
    -0.116602719,
    0.11634811,
    -0.123966612,
    0.142511383,
    -0.166691527,
    0.200006887,
    -0.249999806,
    0.333333313,
)
_LOG_DOUBLE = (
    1.479819860511658591e-01,
    1.531383769920937332e-01,
    1.818357216161805012e-01,
    2.222219843214978396e-01,
    2.857142874366239149e-01,
    3.999999999940941908e-01,
    6.666666666666735130e-01,
)


@kernel_function(MATHEMATICS, *FLOATS)
def log1p(x: Scalar) -> Scalar:
    """log(1 + x)."""
    return where(absolute(x) < _format(x).tiny, x, _log_specials(x + 1.0, _log_of_sum(x)))


def _log_of_sum(x: Scalar) -> Scalar:
    """log(1 + x) where 1 + x is normal: the logarithm of the rounded sum, and what rounding took from it."""
    u = x + 1.0
    return log_normal(u) + (x - (u - 1.0)) / u


@kernel_function(MATHEMATICS, *FLOATS)
def tanh(x: Scalar) -> Scalar:
    """The hyperbolic tangent: h / (h + 1) with h = (e^2|x| - 1) / 2.

    |x| = n ln(2)/2 + r with |r| <= ln(2)/4, and h = 2^n (r + r^2 P(r)) + (2^n - 1) / 2; what n ln(2)/2 is rounded by
    does not matter, for the larger n is, the flatter the function.
    """
    form = _format(x)
    a = absolute(x)
    a = where(a > form.tanh_limit, form.tanh_limit, a)
    shifted = multiply_add(a, 2 / math.log(2), form.shift + form.bias)  # leaves n as an exponent in the low bits
    r = multiply_add(shifted - (form.shift + form.bias), -math.log(2) / 2, a)
    scale = float_of(bits_of(shifted) << form.mantissa)
    doubled = tuple(coefficient * 2.0 ** (len(form.exp) - place) for place, coefficient in enumerate(form.exp))
    square = r * r
    h = multiply_add(multiply_add(in_pairs(r, square, doubled), square, r), scale, multiply_add(scale, 0.5, -0.5))
    return copysign(h / (h + 1.0), x)


@kernel_function(MATHEMATICS, *FLOATS)
def sigmoid(x: Scalar) -> Scalar:
    """1 / (1 + e^-x), to full relative precision on both sides."""
    e = exp(-absolute(x))
    denominator = e + 1.0
    lost = e - (denominator - 1.0)
    inverse = 1.0 / denominator
    numerator = where(x < 0.0, e, 1.0)
    quotient = numerator * inverse
    # One step of refinement, against the roundings of the sum and of the quotient.
    residual = multiply_add(-quotient, lost, multiply_add(-quotient, denominator, numerator))
    return multiply_add(residual, inverse, quotient)


@kernel_function(MATHEMATICS, *FLOATS)
def softplus(x: Scalar) -> Scalar:
    """log(1 + e^x)."""
    e = exp(-absolute(x))
    return where(x < 0.0, 0.0, x) + where(e < _format(x).tiny, e, _log_of_sum(e))


@kernel_function(MATHEMATICS, *FLOATS)
def erf(x: Scalar) -> Scalar:
    """The error function; in float32 a polynomial near 0, else 1 - exp(-P(|x|))."""
    if x.bits == 64:
        return library_call("erf", x)
    a = absolute(x)
    small = multiply_add(polynomial(x * x, _ERF_SMALL), a, a)
    t = where(a > 4.0, 4.0, a)
    large = 1.0 - exp(-multiply_add(polynomial(t, _ERF_LARGE), t, t))
    return copysign(where(a < 0.92, small, large), x)


_ERF_SMALL = (8.34521852e-05, -0.000813743565, 0.00520063424, -0.0268592704, 0.112836942, -0.376126349, 0.128379166)
_ERF_LARGE = (1.29802402e-05, -0.000339711754, 0.00370875117, -0.0238970574, 0.106387571, 0.635063827, 0.128669173)


@kernel_function(MATHEMATICS, *FLOATS)
def sqrt(x: Scalar) -> Scalar:
    """The square root."""
    return llvm_call("sqrt", x)


@kernel_function(MATHEMATICS, *FLOATS)
def rsqrt(x: Scalar) -> Scalar:
    """1 / sqrt(x)."""
    return 1.0 / llvm_call("sqrt", x)


def _from_library(function: str, name: str) -> None:
    @kernel_function(MATHEMATICS, *FLOATS, name=name)
    def call(x: Scalar) -> Scalar:
        return library_call(function, x)


for _function in ("sinh", "cosh"):
    _from_library(_function, _function)
for _function in ("asin", "acos", "atan", "asinh", "acosh", "atanh"):
    _from_library(_function, "arc" + _function[1:])


@kernel_function(MATHEMATICS, *FLOATS)
def arctan2(y: Scalar, x: Scalar) -> Scalar:
    """The angle of the point (x, y), from -pi to pi."""
    return library_call("atan2", y, x)
