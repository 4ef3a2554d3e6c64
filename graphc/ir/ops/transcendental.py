"""Powers, exponentials, logarithms, roots, angles and their kin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphc.ir.graph import Value
from graphc.ir.op import Array
from graphc.ir.ops.arithmetic import add, divide, multiply, negative, no_bool, subtract
from graphc.ir.ops.choice import where
from graphc.ir.ops.comparison import equal, greater_equal, logical_and
from graphc.ir.ops.conversion import float_dtype
from graphc.ir.ops.declare import Binary, Unary, binary, infer_float, quiet, unary

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cos",
    "cosh",
    "erf",
    "exp",
    "expm1",
    "log",
    "log1p",
    "power",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "tan",
    "tanh",
]


def _smooth(
    name: str,
    doc: str,
    evaluate: Callable[[Array], Array],
    derivative: Callable[[Value, Value, Value], Value],
    low: float = -2.0,
    high: float = 2.0,
) -> Unary:
    """Declare a float function whose kernel expression is the function of the same name."""
    return unary(name, doc, f"{name}({{0}})", quiet(evaluate), derivative, low, high, infer=infer_float, cost=10)


def _erf(x: Array) -> Array:
    from scipy.special import erf as scipy_erf

    return np.asarray(scipy_erf(x), x.dtype)


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), x.dtype)


def _power(x: Array, y: Array) -> Array:
    """NumPy's power; for integers with a negative exponent, the true result cut off towards zero."""
    with np.errstate(all="ignore"):
        if x.dtype.kind not in "iub" or not np.any(y < 0):
            return np.asarray(np.power(x, y))
        sign = np.where(y % 2 == 0, 1, x)
        return np.where(y >= 0, np.power(x, np.maximum(y, 0)), np.where(np.abs(x) == 1, sign, 0)).astype(x.dtype)


def _power_derivative(x: Value, y: Value, z: Value, g: Value) -> tuple[Value, Value]:
    base = where(equal(y, 0), 0.0, multiply(y, power(x, subtract(y, 1))))
    exponent = where(logical_and(equal(x, 0), greater_equal(y, 0)), 0.0, multiply(z, log(where(equal(x, 0), 1.0, x))))
    return multiply(g, base), multiply(g, exponent)


power: Binary = binary(
    "power",
    "The first operand raised to the second; integers with a negative exponent are cut off towards zero.",
    "power({0}, {1})",
    _power,
    _power_derivative,
    low=0.5,
    operand_dtype=no_bool,
)
arctan2: Binary = binary(
    "arctan2",
    "The angle of the point (second, first) in radians, from -pi to pi.",
    "arctan2({0}, {1})",
    np.arctan2,
    lambda x, y, z, g: (
        multiply(g, divide(y, add(multiply(x, x), multiply(y, y)))),
        negative(multiply(g, divide(x, add(multiply(x, x), multiply(y, y))))),
    ),
    low=0.3,
    infer=infer_float,
    operand_dtype=float_dtype,
)
exp: Unary = _smooth("exp", "e to the operand.", np.exp, lambda x, y, g: multiply(g, y))
expm1: Unary = _smooth(
    "expm1", "e to the operand, minus 1, exact near 0.", np.expm1, lambda x, y, g: multiply(g, add(y, 1.0))
)
log: Unary = _smooth("log", "The natural logarithm.", np.log, lambda x, y, g: divide(g, x), low=0.3)
log1p: Unary = _smooth("log1p", "log(1 + x), exact near 0.", np.log1p, lambda x, y, g: divide(g, add(x, 1.0)), low=-0.7)
sqrt: Unary = _smooth("sqrt", "The square root.", np.sqrt, lambda x, y, g: divide(multiply(g, 0.5), y), low=0.3)
rsqrt: Unary = _smooth(
    "rsqrt",
    "1 / sqrt(x).",
    lambda x: 1 / np.sqrt(x),
    lambda x, y, g: multiply(multiply(g, -0.5), divide(y, x)),
    low=0.3,
)
sin: Unary = _smooth("sin", "The sine of an angle in radians.", np.sin, lambda x, y, g: multiply(g, cos(x)))
cos: Unary = _smooth("cos", "The cosine of an angle in radians.", np.cos, lambda x, y, g: negative(multiply(g, sin(x))))
tan: Unary = _smooth(
    "tan", "The tangent of an angle in radians.", np.tan, lambda x, y, g: multiply(g, add(multiply(y, y), 1.0)), -1, 1
)
arcsin: Unary = _smooth(
    "arcsin",
    "The inverse of sin, in radians.",
    np.arcsin,
    lambda x, y, g: multiply(g, rsqrt(subtract(1.0, multiply(x, x)))),
    -0.8,
    0.8,
)
arccos: Unary = _smooth(
    "arccos",
    "The inverse of cos, in radians.",
    np.arccos,
    lambda x, y, g: negative(multiply(g, rsqrt(subtract(1.0, multiply(x, x))))),
    -0.8,
    0.8,
)
arctan: Unary = _smooth(
    "arctan", "The inverse of tan, in radians.", np.arctan, lambda x, y, g: divide(g, add(multiply(x, x), 1.0))
)
sinh: Unary = _smooth("sinh", "The hyperbolic sine.", np.sinh, lambda x, y, g: multiply(g, cosh(x)))
cosh: Unary = _smooth("cosh", "The hyperbolic cosine.", np.cosh, lambda x, y, g: multiply(g, sinh(x)))
tanh: Unary = _smooth(
    "tanh", "The hyperbolic tangent.", np.tanh, lambda x, y, g: multiply(g, subtract(1.0, multiply(y, y)))
)
arcsinh: Unary = _smooth(
    "arcsinh", "The inverse of sinh.", np.arcsinh, lambda x, y, g: multiply(g, rsqrt(add(multiply(x, x), 1.0)))
)
arccosh: Unary = _smooth(
    "arccosh",
    "The inverse of cosh.",
    np.arccosh,
    lambda x, y, g: multiply(g, rsqrt(subtract(multiply(x, x), 1.0))),
    1.2,
    3,
)
arctanh: Unary = _smooth(
    "arctanh", "The inverse of tanh.", np.arctanh, lambda x, y, g: divide(g, subtract(1.0, multiply(x, x))), -0.8, 0.8
)
erf: Unary = _smooth(
    "erf",
    "The error function.",
    _erf,
    lambda x, y, g: multiply(g, multiply(2 / np.pi**0.5, exp(negative(multiply(x, x))))),
)
sigmoid: Unary = _smooth(
    "sigmoid", "1 / (1 + exp(-x)).", _sigmoid, lambda x, y, g: multiply(g, multiply(y, subtract(1.0, y)))
)
softplus: Unary = _smooth(
    "softplus", "log(1 + exp(x)), without overflow.", _softplus, lambda x, y, g: multiply(g, sigmoid(x))
)
