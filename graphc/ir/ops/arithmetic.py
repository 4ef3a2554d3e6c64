"""Sums, products, quotients, remainders, signs and rounding."""

from __future__ import annotations

import numpy as np

from graphc.ir.op import Array
from graphc.ir.ops.declare import Binary, Unary, binary, infer_float, unary
from graphc.ir.types import DType, dtype_of

__all__ = [
    "abs",
    "add",
    "ceil",
    "divide",
    "floor",
    "floor_divide",
    "mod",
    "multiply",
    "negative",
    "round",
    "sign",
    "subtract",
    "trunc",
]


def _floor_divide(x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.floor_divide(x, y))


def _mod(x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.mod(x, y))


def no_bool(dtype: DType) -> DType:
    """The dtype for arithmetic that NumPy does not define on bool."""
    return dtype_of("int8") if dtype.is_bool else dtype


add: Binary = binary(
    "add", "The sum of two operands.", "{0} + {1}", np.add, lambda x, y, z, g: (g, g), commutative=True
)
subtract: Binary = binary(
    "subtract",
    "The difference of two operands.",
    "{0} - {1}",
    np.subtract,
    lambda x, y, z, g: (g, negative(g)),
    operand_dtype=no_bool,
)
multiply: Binary = binary(
    "multiply",
    "The product of two operands.",
    "{0} * {1}",
    np.multiply,
    lambda x, y, z, g: (multiply(g, y), multiply(g, x)),
    commutative=True,
)
divide: Binary = binary(
    "divide",
    "The quotient of two operands; integers are converted to float64, as NumPy does.",
    "{0} / {1}",
    np.divide,
    lambda x, y, z, g: (divide(g, y), negative(multiply(g, divide(z, y)))),
    low=0.5,
    infer=infer_float,
    operand_dtype=lambda dtype: dtype if dtype.is_float else dtype_of("float64"),
)
floor_divide: Binary = binary(
    "floor_divide",
    "The largest whole number not above the quotient; for integers, division by zero gives 0.",
    "floor_divide({0}, {1})",
    _floor_divide,
    None,
    low=-9,
    high=9,
    operand_dtype=no_bool,
)
mod: Binary = binary(
    "mod",
    "The remainder of floor division, which has the divisor's sign; for integers, modulo zero gives 0.",
    "mod({0}, {1})",
    _mod,
    lambda x, y, z, g: (g, negative(multiply(g, floor_divide(x, y)))),
    low=0.6,
    high=3.0,
    operand_dtype=no_bool,
)
negative: Unary = unary(
    "negative", "The operand with the opposite sign.", "-{0}", np.negative, lambda x, y, g: negative(g)
)
abs: Unary = unary("abs", "The absolute value.", "abs({0})", np.abs, lambda x, y, g: multiply(g, sign(x)))
sign: Unary = unary("sign", "-1, 0 or 1; NaN for NaN.", "sign({0})", np.sign, None)
floor: Unary = unary(
    "floor", "The largest whole number not above the operand.", "floor({0})", np.floor, None, infer=infer_float
)
ceil: Unary = unary(
    "ceil", "The smallest whole number not below the operand.", "ceil({0})", np.ceil, None, infer=infer_float
)
trunc: Unary = unary("trunc", "The whole part of the operand.", "trunc({0})", np.trunc, None, infer=infer_float)
round: Unary = unary(
    "round", "The nearest whole number; halves to even.", "round_half_even({0})", np.rint, None, infer=infer_float
)
