"""Identities of arithmetic.

They hold for every number, NaN and infinities included, but for these. ``x + 0``, ``0 - x`` and ``sum(-x)`` may give a
zero of the other sign. Powers 0.5 and -0.5 are those of the square root also for -0.0 and -inf, as they are for NumPy's
``**``; the power 3 is rounded twice. Constant factors are multiplied first, which rounds otherwise. ``log(exp(x))`` is
x also where exp would overflow or underflow. ``x * 0`` and ``x - x`` are 0 for integers alone: of floats, they may be
NaN.
"""

from __future__ import annotations

import numpy as np

from graphc.ir import ops
from graphc.ir.build import apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array
from graphc.ir.types import DType
from graphc.passes.rewrite import Matcher
from graphc.passes.rules.constants import literal, operand_and_scalar, scalar_of

__all__ = [
    "add_negative",
    "add_zero",
    "cast_of_cast",
    "divide_by_constant",
    "log_of_exp",
    "multiply_by_constant",
    "negate_again",
    "negative_outward",
    "power_by_constant",
    "preserves",
    "reciprocal_of_root",
    "scaled_again",
    "sign_of_operands",
    "subtract_itself",
    "subtract_negative",
    "subtract_zero",
]

# --- neutral operands -----------------------------------------------------------------------------


def add_zero(node: Node, matcher: Matcher) -> Value | None:
    """``x + 0`` is x."""
    for x, number in operand_and_scalar(node, matcher):
        if number == 0:
            return x
    return None


def subtract_zero(node: Node, matcher: Matcher) -> Value | None:
    """``x - 0`` is x, and ``0 - x`` is ``-x``."""
    x, y = node.inputs
    if scalar_of(y, matcher) == 0:
        return x
    if scalar_of(x, matcher) == 0:
        return ops.negative(y)
    return None


def subtract_itself(node: Node, matcher: Matcher) -> Value | None:
    """``x - x`` is 0 for integers."""
    x, y = node.inputs
    return literal(0, x.dtype) if x is y and x.dtype.is_integer else None


def multiply_by_constant(node: Node, matcher: Matcher) -> Value | None:
    """``x * 1`` is x, ``x * -1`` is ``-x``, and ``x * 0`` is 0 for integers."""
    for x, number in operand_and_scalar(node, matcher):
        if number == 1:
            return x
        if number == -1:
            return ops.negative(x)
        if number == 0 and x.dtype.is_integer:
            return literal(0, x.dtype)
    return None


def divide_by_constant(node: Node, matcher: Matcher) -> Value | None:
    """``x / 1`` is x; ``x / c`` is ``x * (1 / c)`` where c is a power of two, and the product so as exact."""
    x, y = node.inputs
    number = scalar_of(y, matcher)
    if number is None:
        return None
    if number == 1:
        return x
    with np.errstate(all="ignore"):
        inverse = 1 / number
    if abs(np.frexp(number)[0]) == 0.5 and _normal(inverse):
        return ops.multiply(x, literal(inverse, x.dtype))
    return None


def power_by_constant(node: Node, matcher: Matcher) -> Value | None:
    """Powers with the exponents 0, 1, 2 and 3, and for floats 0.5, -0.5 and -1, by simpler operations."""
    x, y = node.inputs
    exponent = scalar_of(y, matcher)
    if exponent is None:
        return None
    result: Value | None = None
    match exponent.item():
        case 0:
            result = literal(1, x.dtype)
        case 1:
            result = x
        case 2:
            result = ops.multiply(x, x)
        case 3:
            result = ops.multiply(ops.multiply(x, x), x)
        case 0.5:
            result = ops.sqrt(x)
        case -0.5:
            result = ops.rsqrt(x)
        case -1 if x.dtype.is_float:
            result = ops.divide(1.0, x)
    return None if result is None else result


def reciprocal_of_root(node: Node, matcher: Matcher) -> Value | None:
    """``1 / sqrt(x)`` is ``rsqrt(x)``."""
    x, y = node.inputs
    root = matcher.producer(y, "sqrt")
    if root is None or scalar_of(x, matcher) != 1:
        return None
    return ops.rsqrt(root.inputs[0])


# --- constant factors -----------------------------------------------------------------------------


def _normal(number: Array) -> bool:
    """Whether a float is finite, not zero, and has all its digits."""
    return bool(np.isfinite(number) and abs(number) >= np.finfo(number.dtype).tiny)


def _factor(value: Value, matcher: Matcher) -> tuple[Value, Array, bool] | None:
    """``x``, a constant c, and whether ``value`` is ``x / c`` rather than ``x * c``."""
    if node := matcher.producer(value, "divide"):
        number = scalar_of(node.inputs[1], matcher)
        return None if number is None else (node.inputs[0], number, True)
    if node := matcher.producer(value, "multiply"):
        for x, number in operand_and_scalar(node, matcher):
            return x, number, False
    return None


def scaled_again(node: Node, matcher: Matcher) -> Value | None:
    """``x * c * d`` is ``x * (c * d)``; so with divisions. Integer products are exact in any order."""
    outer = _factor(node.output, matcher)
    inner = outer and _factor(outer[0], matcher)
    if outer is None or inner is None:
        return None
    (_, second, divide_second), (x, first, divide_first) = outer, inner
    if not x.dtype.is_float:
        with np.errstate(over="ignore"):
            return ops.multiply(x, literal(first * second, x.dtype))
    wide_first, wide_second = first.astype(np.float64), second.astype(np.float64)
    with np.errstate(all="ignore"):
        if divide_first == divide_second:
            product = wide_first * wide_second
        else:
            product = wide_first / wide_second if divide_second else wide_second / wide_first
        factor = product.astype(x.dtype.numpy)
    if not all(_normal(number) for number in (first, second, factor)):
        return None
    combine = ops.divide if divide_first and divide_second else ops.multiply
    return combine(x, literal(factor, x.dtype))


# --- signs ----------------------------------------------------------------------------------------


def _negated(value: Value, matcher: Matcher) -> Value | None:
    node = matcher.producer(value, "negative")
    return node.inputs[0] if node else None


def negate_again(node: Node, matcher: Matcher) -> Value | None:
    """``-(-x)`` is x; ``-(x * c)`` is ``x * -c``, and ``-(x / c)`` is ``x / -c``."""
    (x,) = node.inputs
    if (inner := _negated(x, matcher)) is not None:
        return inner
    factor = _factor(x, matcher)
    if factor is None or matcher.shared(x):
        return None
    y, number, divided = factor
    combine = ops.divide if divided else ops.multiply
    return combine(y, literal(np.negative(number), y.dtype))


def add_negative(node: Node, matcher: Matcher) -> Value | None:
    """``x + -y`` is ``x - y``."""
    x, y = node.inputs
    if (inner := _negated(y, matcher)) is not None:
        return ops.subtract(x, inner)
    if (inner := _negated(x, matcher)) is not None:
        return ops.subtract(y, inner)
    return None


def subtract_negative(node: Node, matcher: Matcher) -> Value | None:
    """``x - -y`` is ``x + y``."""
    x, y = node.inputs
    inner = _negated(y, matcher)
    return None if inner is None else ops.add(x, inner)


def sign_of_operands(node: Node, matcher: Matcher) -> Value | None:
    """``-x * -y`` is ``x * y``, ``-x * c`` is ``x * -c``, and ``-x * y`` is ``-(x * y)``; so for quotients."""
    x, y = node.inputs
    inner_x, inner_y = _negated(x, matcher), _negated(y, matcher)
    if inner_x is None and inner_y is None:
        return None
    combine = ops.multiply if node.op.name == "multiply" else ops.divide
    if inner_x is not None and inner_y is not None:
        return combine(inner_x, inner_y)
    number = scalar_of(x if inner_x is None else y, matcher)
    if number is not None:
        opposite = literal(np.negative(number), x.dtype)
        return combine(opposite, inner_y) if inner_x is None else combine(inner_x, opposite)
    negated, inner = (y, inner_y) if inner_x is None else (x, inner_x)
    if matcher.shared(negated) or inner is None or inner.shape != node.output.shape:
        return None  # it would be one operation more, or one on more items
    return ops.negative(combine(x, inner) if inner_x is None else combine(inner, y))


def negative_outward(node: Node, matcher: Matcher) -> Value | None:
    """``sum(-x)`` is ``-sum(x)``, and so for a reshape: on no more items, and the sign may meet another there."""
    (x,) = node.inputs
    inner = _negated(x, matcher)
    if inner is None or matcher.shared(x):
        return None
    return ops.negative(apply_one(node.op, (inner,), node.attrs))


# --- inverse functions and conversions ------------------------------------------------------------


def log_of_exp(node: Node, matcher: Matcher) -> Value | None:
    """``log(exp(x))`` is x. ``exp(log(x))`` stays: it is NaN for negative numbers."""
    inner = matcher.producer(node.inputs[0], "exp")
    return inner.inputs[0] if inner else None


def preserves(source: DType, target: DType) -> bool:
    """Whether every number of one dtype is a number of the other."""
    if source == target or source.is_bool:
        return True
    if target.is_bool or (source.is_float and not target.is_float):
        return False
    if source.is_float:
        return target.itemsize >= source.itemsize
    if target.is_float:
        return bool(np.iinfo(source.numpy).max <= 2 ** (np.finfo(target.numpy).nmant + 1))
    return bool(np.can_cast(source.numpy, target.numpy, "safe"))


def cast_of_cast(node: Node, matcher: Matcher) -> Value | None:
    """A cast to a dtype that holds the number, then to another, is one cast.

    Where a float becomes an integer, this needs the number to be in the range of all three dtypes.
    """
    inner = matcher.producer(node.inputs[0], "cast")
    if inner is None:
        return None
    (x,) = inner.inputs
    between, final = node.inputs[0].dtype, node.output.dtype
    in_range = not between.is_float or final.is_float or final.is_bool or preserves(x.dtype, final)
    return ops.cast(x, final) if preserves(x.dtype, between) and in_range else None
