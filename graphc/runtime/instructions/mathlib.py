"""The transcendental functions of kernels.

LLVM has no vector versions of them, and calls of the C library keep loops scalar, so they are written out, here, in
`circular` and in `powers`, free of branches. They treat the special values of IEEE 754 as C's functions do.

Largest errors found, in units in the last place, over millions of arguments of all sizes:

========  ====  =====  ====  =====  =======  =======  ========  ======  ======  =======  =======
function  exp   expm1  log   log1p  tanh     sigmoid  softplus  erf     sinh    cosh     power
float32   0.99  1.44   0.83  1.44   2.43     2.31     1.99      1.11    2.17    1.45     0.51
float64   0.98  1.88   0.81  1.44   2.53     2.29     1.96      1.04    2.32    1.43     1.52
--------  ----  -----  ----  -----  -------  -------  --------  ------  ------  -------  -------
function  sin   cos    tan   arcsin arccos   arctan   arctan2   arcsinh arccosh arctanh
float32   0.89  0.89   2.41  1.64   1.17     2.04     2.01      2.03    2.88    2.34
float64   0.84  0.83   2.20  1.56   1.10     1.68     1.83      1.90    2.91    1.83
========  ====  =====  ====  =====  =======  =======  ========  ======  ======  =======  =======
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from graphc.runtime.instructions.scalar import (
    FLOATS,
    INFINITY,
    NAN,
    Scalar,
    absolute,
    bits_of,
    copysign,
    float_of,
    kernel_function,
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


def _exp_parts(x: Scalar, bias: int) -> tuple[Scalar, Scalar]:
    """(q, exponent) with exp(x) = 2^n (1 + q); `exponent` is the whole number n + `bias` in the place of exponents.

    x = n ln 2 + r with |r| <= ln(2)/2, the product n ln 2 in two parts (Cody and Waite, 1980); q = r + r^2 P(r).
    """
    form = _format(x)
    shifted = multiply_add(x, 1 / math.log(2), form.shift + bias)
    n = shifted - (form.shift + bias)
    r = multiply_add(n, -form.ln2_low, multiply_add(n, -form.ln2_high, x))
    square = r * r
    q = multiply_add(in_pairs(r, square, form.exp), square, r)
    return q, bits_of(shifted) << form.mantissa  # nothing of the shift is left


def _exp_factors(x: Scalar) -> tuple[Scalar, Scalar]:
    """Two numbers whose product is e^x.

    Either is normal, also where the product is not, and the product is infinite where it has to be.
    """
    form = _format(x)
    q, exponent = _exp_parts(x, 2 * form.bias)
    half = (exponent >> 1) & -(1 << form.mantissa)
    scale = float_of(half)
    return multiply_add(q, scale, scale), float_of(exponent - half)


@kernel_function(MATHEMATICS, *FLOATS)
def exp(x: Scalar) -> Scalar:
    """e^x."""
    form = _format(x)
    lowest, highest = form.exp_limits
    underflow = x < lowest
    # Where the result is 0, a harmless 0 takes the place of x: arithmetic that underflows is slow.
    z = where(underflow, 0.0, where(x > highest + 0.5, highest + 0.5, x))
    large, small = _exp_factors(z)
    return where(underflow, 0.0, large * small)


@kernel_function(MATHEMATICS, *FLOATS)
def expm1(x: Scalar) -> Scalar:
    """e^x - 1."""
    form = _format(x)
    highest = form.exp_limits[1]
    overflow = x > highest
    z = where(x < form.expm1_limit, form.expm1_limit, where(overflow, 0.0, x))
    q, exponent = _exp_parts(z, form.bias - 1)  # 2^n may be too large
    scale = float_of(exponent)
    result = 2.0 * multiply_add(scale, q, scale - 0.5)
    return where(absolute(x) < form.tiny, x, where(overflow, INFINITY, result))


@kernel_function(MATHEMATICS, *FLOATS)
def log(x: Scalar) -> Scalar:
    """The natural logarithm."""
    form = _format(x)
    subnormal = x < form.smallest_normal
    scale = where(subnormal, x.constant(-form.mantissa), 0.0)
    return _log_specials(x, _log_normal(where(subnormal, x * 2.0**form.mantissa, x), scale))


def _log_specials(x: Scalar, result: Scalar) -> Scalar:
    """`result`, the logarithm of `x`, except where `x` is not positive and finite."""
    result = where(x < INFINITY, result, x)  # infinity and NaN
    return where(x < 0.0, NAN, where(x == 0.0, -INFINITY, result))


def normal_parts(x: Scalar) -> tuple[Scalar, Scalar]:
    """(n, f) with x = 2^n (1 + f) and sqrt(1/2) <= 1 + f < sqrt(2), of a positive normal number."""
    form = _format(x)
    bits = bits_of(x)
    biased = (bits + ((form.bias << form.mantissa) - form.sqrt_half_bits)) >> form.mantissa
    f = float_of(bits - ((biased - form.bias) << form.mantissa)) - 1.0
    return float_of(biased + (form.shift_bits - form.bias)) - form.shift, f


def _log_normal(x: Scalar, scale: Scalar | float = 0.0) -> Scalar:
    """log(x) + scale ln 2 = (n + scale) ln 2 + log(1 + f) for normal numbers x = 2^n (1 + f)."""
    form = _format(x)
    n, f = normal_parts(x)
    n = n + scale
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
    return _log_normal(u) + (x - (u - 1.0)) / u


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
    """1 / (1 + e^-x), as precise where it is small as where it is large: s / (s + s e^-x) with a power of two s.

    s is chosen so that the sum stays finite where the result is subnormal, and s e^-x normal where the result is 1.
    """
    form = _format(x)
    least, most = math.floor(form.exp_limits[0]), (form.mantissa + 2) * math.log(2)  # where it is 0, and where 1
    z = where(x < least, least, where(x > most, most, x))
    s = form.bias // 2 + 1
    q, exponent = _exp_parts(-z, form.bias - s)
    scale = float_of(exponent)
    return 2.0**-s / multiply_add(q, scale, scale + 2.0**-s)


@kernel_function(MATHEMATICS, *FLOATS)
def softplus(x: Scalar) -> Scalar:
    """log(1 + e^x)."""
    e = exp(-absolute(x))
    return where(x < 0.0, 0.0, x) + where(e < _format(x).tiny, e, _log_of_sum(e))


@kernel_function(MATHEMATICS, *FLOATS)
def erf(x: Scalar) -> Scalar:
    """The error function: a polynomial near 0, else 1 - exp(-P(|x|))."""
    a = absolute(x)
    square = x * x
    if x.bits == 64:
        small = in_pairs(square, square * square, _ERF_SMALL_DOUBLE)
        t = where(a > 6.0, 6.0, a)
        large, change = in_pairs(t, t * t, _ERF_LARGE_DOUBLE), 1.0
    else:
        small = polynomial(square, _ERF_SMALL)
        t = where(a > 4.0, 4.0, a)
        large, change = multiply_add(polynomial(t, _ERF_LARGE), t, t), 0.92
    return copysign(where(a < change, multiply_add(small, a, a), 1.0 - exp(-large)), x)


_ERF_SMALL = (8.34521852e-05, -0.000813743565, 0.00520063424, -0.0268592704, 0.112836942, -0.376126349, 0.128379166)
_ERF_SMALL_DOUBLE = (
    -7.801188874097751e-10,
    1.3722976265924504e-08,
    -1.6209175911748696e-07,
    1.6447517677871873e-06,
    -1.4924744663335489e-05,
    0.00012055295320494294,
    -0.0008548325989696758,
    0.005223977607423468,
    -0.02686617064327622,
    0.11283791670945253,
    -0.3761263890318355,
    0.12837916709551256,
)
_ERF_LARGE_DOUBLE = (
    6.972786510356768e-14,
    -3.904583098389254e-12,
    1.0213275008086494e-10,
    -1.6580490884589416e-09,
    1.8708714207710773e-08,
    -1.555139227237729e-07,
    9.824911610313169e-07,
    -4.775680983730081e-06,
    1.7695384781115034e-05,
    -4.7439014924938765e-05,
    7.40684097919846e-05,
    4.070049480811829e-05,
    -0.0006383218065132865,
    0.0017687259292556966,
    -0.00028250579788818576,
    -0.01907546097928737,
    0.10274532787132072,
    0.636629332146569,
    1.128377114786802,
    2.040633157131131e-07,
)
_ERF_LARGE = (1.29802402e-05, -0.000339711754, 0.00370875117, -0.0238970574, 0.106387571, 0.635063827, 0.128669173)


@kernel_function(MATHEMATICS, *FLOATS)
def sqrt(x: Scalar) -> Scalar:
    """The square root."""
    return llvm_call("sqrt", x)


@kernel_function(MATHEMATICS, *FLOATS)
def rsqrt(x: Scalar) -> Scalar:
    """1 / sqrt(x)."""
    return 1.0 / llvm_call("sqrt", x)


@kernel_function(MATHEMATICS, *FLOATS)
def sinh(x: Scalar) -> Scalar:
    """The hyperbolic sine: m + m / (2 m + 1) with m = (e^|x| - 1) / 2."""
    q, quarter = _quarter_exp_parts(x)
    m = multiply_add(quarter, q, quarter - 0.25) * 2.0
    rest = where(m < 1e20, m / multiply_add(m, 2.0, 1.0), 0.0)
    return where(absolute(x) < _format(x).tiny, x, copysign(m + rest, x))


@kernel_function(MATHEMATICS, *FLOATS)
def cosh(x: Scalar) -> Scalar:
    """The hyperbolic cosine: e + 1 / (4 e) with e = e^|x| / 2."""
    q, quarter = _quarter_exp_parts(x)
    e = multiply_add(quarter, q, quarter) * 2.0
    return e + 0.25 / e


def _quarter_exp_parts(x: Scalar) -> tuple[Scalar, Scalar]:
    """(q, s) with e^|x| = 4 s (1 + q), which does not overflow where e^|x| / 2 does not."""
    limit = _format(x).exp_limits[1] + 0.72  # where e^x / 2 is infinite
    size = absolute(x)
    q, exponent = _exp_parts(where(size > limit, limit, size), _format(x).bias - 2)
    return q, float_of(exponent)


@kernel_function(MATHEMATICS, *FLOATS)
def arcsinh(x: Scalar) -> Scalar:
    """The inverse of sinh: log(|x| + sqrt(x^2 + 1)), with the sign of x."""
    a = absolute(x)
    square = a * a
    root = llvm_call("sqrt", square + 1.0)
    return copysign(_log1p_or_log2x(a, a + square / (root + 1.0)), x)


@kernel_function(MATHEMATICS, *FLOATS)
def arccosh(x: Scalar) -> Scalar:
    """The inverse of cosh that is not negative: log(x + sqrt(x^2 - 1))."""
    t = x - 1.0
    return where(x < 1.0, NAN, _log1p_or_log2x(x, t + llvm_call("sqrt", t * (t + 2.0))))


def _log1p_or_log2x(x: Scalar, v: Scalar) -> Scalar:
    """log(1 + v), which is log(2 x) where x is so large that its square may be infinite."""
    large = x > 2.0 ** (_format(x).mantissa + 3)
    return log1p(where(large, x, v)) + where(large, x.constant(math.log(2)), 0.0)


@kernel_function(MATHEMATICS, *FLOATS)
def arctanh(x: Scalar) -> Scalar:
    """The inverse of tanh: log((1 + x) / (1 - x)) / 2."""
    a = absolute(x)
    return copysign(log1p((a + a) / (1.0 - a)) * 0.5, x)
