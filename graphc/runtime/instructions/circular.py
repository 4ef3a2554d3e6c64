"""The circular functions of kernels, free of branches but for arguments so large that they are rare.

An argument of sin, cos or tan is brought to x = n pi/2 + r with |r| <= pi/4 by subtracting n pi/2 in three parts (Cody
and Waite, 1980): a fused multiplication makes the first difference exact, and what rounding adds to the others is taken
from the result. Where n would be too large for that, and for infinities and NaN, the C library is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphc.runtime.instructions.scalar import (
    FLOATS,
    FUSED,
    INFINITY,
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
    sin: tuple[float, ...]  # (r - sin(r)) / r^3 of r^2
    cos: tuple[float, ...]  # (cos(r) - 1 + r^2 / 2) / r^4 of r^2
    arctan: tuple[float, ...]  # (arctan(t) - t) / t^3 of t^2 for |t| <= tan(pi/8)
    arcsin: tuple[float, ...]  # (arcsin(t) - t) / t^3 of t^2 for |t| <= 1/2


_SINGLE = _Format(
    limit=1e5,
    shift=12582912.0,
    half_pi=(1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15),
    sin=(1.9515295891e-4, -8.3321608736e-3, 1.6666654611e-1),
    cos=(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2),
    arctan=(8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1),
    arcsin=(0.042553599106389374, 0.02405704468979472, 0.04546570129360127, 0.07495668270243472, 0.16666731146014485),
)
_DOUBLE = _Format(
    limit=1e8,
    shift=6755399441055744.0,
    half_pi=(1.5707963267948966, 6.123233995736765e-17, 1.0828566739219139e-32),
    sin=(  # FreeBSD's k_sin.c and k_cos.c
        -1.58969099521155010221e-10,
        2.50507602534068634195e-08,
        -2.75573137070700676789e-06,
        1.98412698298579493134e-04,
        -8.33333333332248946124e-03,
        1.66666666666666324348e-01,
    ),
    cos=(
        -1.13596475577881948265e-11,
        2.08757232129817482790e-09,
        -2.75573143513906633035e-07,
        2.48015872894767294178e-05,
        -1.38888888888741095749e-03,
        4.16666666666666019037e-02,
    ),
    arctan=(
        -0.01780935998850074,
        0.03799775728317861,
        -0.05037726098013351,
        0.05847816052829952,
        -0.06663139418372324,
        0.07692068117265455,
        -0.09090898526377748,
        0.11111110823847647,
        -0.14285714281336662,
        0.19999999999968934,
        -0.33333333333333265,
    ),
    arcsin=(
        0.032716104830982834,
        -0.02102061110459657,
        0.021629907438306728,
        0.0037806899502983936,
        0.010748063085275792,
        0.01140715396380983,
        0.01397947103515358,
        0.017351756627662213,
        0.022372204933033622,
        0.030381943144576987,
        0.04464285716363594,
        0.07499999999984511,
        0.16666666666666702,
    ),
)


def _format(x: Scalar) -> _Format:
    return _SINGLE if x.bits == 32 else _DOUBLE


def _quadrant(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(n, sin(r), cos(r)) with n as an integer that is right in its low bits."""
    form = _format(x)
    shifted = multiply_add(x, 0.6366197723675814, form.shift)  # 2 / pi
    n = shifted - form.shift
    high, middle, low = form.half_pi
    exact = multiply_add(n, -high, x)
    product = n * middle
    r = exact - product
    # What rounding added to r. It is subtracted, and subtracting zeros keeps the sign of a zero.
    excess = multiply_add(n, low, multiply_add(n, middle, -product) - ((exact - r) - product))
    square = r * r
    sine = r - multiply_add(square * r, polynomial(square, form.sin), excess)
    half = square * 0.5
    top = 1.0 - half
    lost = multiply_add(r, excess, (1.0 - top) - half)
    cosine = top + multiply_add(square * square, polynomial(square, form.cos), lost)
    return bits_of(shifted), sine, cosine


def _beyond(x: Scalar) -> Scalar:
    return ~(absolute(x) < _format(x).limit)


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


@kernel_function(CIRCULAR, *FLOATS)
def arctan(x: Scalar) -> Scalar:
    """The inverse of tan, from -pi/2 to pi/2."""
    return copysign(_angle(absolute(x), x.constant(1)), x)


@kernel_function(CIRCULAR, *FLOATS)
def arctan2(y: Scalar, x: Scalar) -> Scalar:
    """The angle of the point (x, y), from -pi to pi."""
    above, beside = absolute(y), absolute(x)
    # Points on a diagonal at infinity are as those nearer; of others, sums must be finite and products not subnormal.
    diagonal = (above == INFINITY) & (beside == INFINITY)
    larger = where(above > beside, above, beside)
    scale = where(larger > 1e38, 0.25, where(larger < 1e-30, y.constant(2.0**60), 1.0))
    above, beside = (where(diagonal, 1.0, side * scale) for side in (above, beside))
    angle = where((above == 0.0) & (beside == 0.0), 0.0, _angle(above, beside))
    high, middle, _ = _format(x).half_pi
    return copysign(where(copysign(x.constant(1), x) < 0.0, 2 * high - (angle - 2 * middle), angle), y)


def _angle(above: Scalar, beside: Scalar) -> Scalar:
    """arctan(above / beside) of numbers that are not negative: k pi/4 + arctan(t) with |t| <= tan(pi/8)."""
    form = _format(above)
    low, steep = ~(above > beside * 0.414213562373095), above > beside * 2.414213562373095
    t = where(low, above, where(steep, -beside, above - beside)) / where(
        low, beside, where(steep, above, above + beside)
    )
    high, rest = (where(low, 0.0, where(steep, t.constant(part), part / 2)) for part in form.half_pi[:2])
    square = t * t
    return high + (t + multiply_add(square * t, polynomial(square, form.arctan), rest))


@kernel_function(CIRCULAR, *FLOATS)
def arcsin(x: Scalar) -> Scalar:
    """The inverse of sin, from -pi/2 to pi/2.

    Beyond 1/2 it is pi/2 - 2 arcsin(sqrt((1 - |x|) / 2)).
    """
    form = _format(x)
    inner, t, rest = _arcsin_parts(absolute(x))
    outer = form.half_pi[0] - (2.0 * t + (2.0 * rest - form.half_pi[1]))
    return copysign(where(inner, t + rest, outer), x)


@kernel_function(CIRCULAR, *FLOATS)
def arccos(x: Scalar) -> Scalar:
    """The inverse of cos, from 0 to pi."""
    high, middle, _ = _format(x).half_pi
    inner, t, rest = _arcsin_parts(absolute(x))
    negative = x < 0.0
    t, rest = (where(inner & ~negative, -part, part) for part in (t, rest))
    outer = 2.0 * (t + rest)
    outer = where(negative, 2 * high - (outer - 2 * middle), outer)
    return where(inner, high + (t + (rest + middle)), outer)


def _arcsin_parts(a: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Whether a <= 1/2, and arcsin(t) as the sum of t and a rest, where t is a or else sqrt((1 - a) / 2)."""
    inner = ~(a > 0.5)
    half = 0.5 - 0.5 * a
    t = where(inner, a, llvm_call("sqrt", half))
    square = where(inner, a * a, half)
    return inner, t, square * t * polynomial(square, _format(a).arcsin)
