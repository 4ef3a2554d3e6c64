"""The circular functions of kernels, free of branches but for arguments so large that they are rare.

An argument of sin, cos or tan is brought to x = n pi/2 + r with |r| <= pi/4 by subtracting n pi/2 in three parts (Cody
and Waite, 1980); fused multiplications make the first difference exact and the others relatively so. Where n would be
too large for that, and for infinities and NaN, the C library is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphc.runtime.scalar import (
    FLOATS,
    FUSED,
    Scalar,
    absolute,
    bits_of,
    float_of,
    kernel_function,
    library_call,
    multiply_add,
    polynomial,
    rare_library_call,
    where,
)

CIRCULAR: dict[str, Any] = {}
"""What kernels may call, by name."""


@dataclass(frozen=True, slots=True)
class _Format:
    """The constants of a floating-point format; polynomials are minimax fits, highest coefficient first."""

    limit: float  # of arguments
    shift: float  # 1.5 * 2^mantissa: added to a small number, leaves the nearest whole number in the low bits
    half_pi: tuple[float, float, float]  # its leading digits, those that follow, and so on, none negative
    sin: tuple[float, ...]  # (sin(r) - r) / r^3 of r^2
    cos: tuple[float, ...]  # (cos(r) - 1 + r^2 / 2) / r^4 of r^2


_SINGLE = _Format(
    limit=1e5,
    shift=12582912.0,
    half_pi=(1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15),
    sin=(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1),
    cos=(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2),
)
_DOUBLE = _Format(
    limit=1e8,
    shift=6755399441055744.0,
    half_pi=(1.5707963267948966, 6.123233995736765e-17, 1.0828566739219139e-32),
    sin=(  # FreeBSD's k_sin.c and k_cos.c
        1.58969099521155010221e-10,
        -2.50507602534068634195e-08,
        2.75573137070700676789e-06,
        -1.98412698298579493134e-04,
        8.33333333332248946124e-03,
        -1.66666666666666324348e-01,
    ),
    cos=(
        -1.13596475577881948265e-11,
        2.08757232129817482790e-09,
        -2.75573143513906633035e-07,
        2.48015872894767294178e-05,
        -1.38888888888741095749e-03,
        4.16666666666666019037e-02,
    ),
)


def _quadrant(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(n, sin(r), cos(r)) with n as an integer that is right in its low bits."""
    form = _SINGLE if x.bits == 32 else _DOUBLE
    shifted = multiply_add(x, 0.6366197723675814, form.shift)  # 2 / pi
    n = shifted - form.shift
    high, middle, low = form.half_pi
    exact = multiply_add(n, -high, x)
    product = n * middle
    r = exact - product
    rest = (exact - r) - product - multiply_add(n, middle, -product)
    rest = multiply_add(n, -low, rest)  # what rounding took from r
    square = r * r
    sine = r + multiply_add(square * r, polynomial(square, form.sin), rest)
    half = square * 0.5
    top = 1.0 - half
    lost = multiply_add(-r, rest, (1.0 - top) - half)
    cosine = top + multiply_add(square * square, polynomial(square, form.cos), lost)
    return bits_of(shifted), sine, cosine


def _beyond(x: Scalar) -> Scalar:
    return ~(absolute(x) < (_SINGLE if x.bits == 32 else _DOUBLE).limit)


def _turned(n: Scalar, odd: Scalar, even: Scalar) -> Scalar:
    """One or the other as `n` is odd or even, negated where its second bit is set."""
    value = where((n & 1) == 0, even, odd)
    return float_of(bits_of(value) ^ ((n & 2) << (n.bits - 2)))


@kernel_function(CIRCULAR, *FLOATS)
def sin(x: Scalar) -> Scalar:
    """The sine."""
    if not FUSED:
        return library_call("sin", x)
    n, sine, cosine = _quadrant(x)
    return rare_library_call("sin", _beyond(x), x, _turned(n, cosine, sine))


@kernel_function(CIRCULAR, *FLOATS)
def cos(x: Scalar) -> Scalar:
    """The cosine."""
    if not FUSED:
        return library_call("cos", x)
    n, sine, cosine = _quadrant(x)
    return rare_library_call("cos", _beyond(x), x, _turned(n + 1, cosine, sine))


@kernel_function(CIRCULAR, *FLOATS)
def tan(x: Scalar) -> Scalar:
    """The tangent."""
    if not FUSED:
        return library_call("tan", x)
    n, sine, cosine = _quadrant(x)
    even = (n & 1) == 0
    quotient = where(even, sine, -cosine) / where(even, cosine, sine)
    return rare_library_call("tan", _beyond(x), x, quotient)
