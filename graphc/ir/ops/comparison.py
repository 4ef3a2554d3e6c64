"""Comparisons, predicates, and the logic of bools and bits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphc.ir.graph import Value
from graphc.ir.op import Array
from graphc.ir.operators import Operand
from graphc.ir.ops.conversion import cast
from graphc.ir.ops.declare import Binary, Unary, binary, infer_integer, infer_predicate, unary
from graphc.ir.types import bool_, dtype_of

__all__ = [
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
]


def _comparison(
    name: str, doc: str, sign: str, evaluate: Callable[[Array, Array], Array], commutative: bool = False
) -> Binary:
    return binary(name, doc, f"{{0}} {sign} {{1}}", evaluate, None, infer=infer_predicate, commutative=commutative)


equal: Binary = _comparison("equal", "Whether two operands are equal.", "==", np.equal, commutative=True)
not_equal: Binary = _comparison("not_equal", "Whether two operands differ.", "!=", np.not_equal, commutative=True)
less: Binary = _comparison("less", "Whether the first operand is smaller.", "<", np.less)
less_equal: Binary = _comparison("less_equal", "Whether the first operand is smaller or equal.", "<=", np.less_equal)
greater: Binary = _comparison("greater", "Whether the first operand is larger.", ">", np.greater)
greater_equal: Binary = _comparison(
    "greater_equal", "Whether the first operand is larger or equal.", ">=", np.greater_equal
)


def _predicate(name: str, doc: str, evaluate: Callable[[Array], Array]) -> Unary:
    return unary(name, doc, f"{name}({{0}})", evaluate, None, infer=infer_predicate)


isnan: Unary = _predicate("isnan", "Whether the operand is not a number.", np.isnan)
isinf: Unary = _predicate("isinf", "Whether the operand is infinite.", np.isinf)
isfinite: Unary = _predicate("isfinite", "Whether the operand is neither infinite nor NaN.", np.isfinite)


def _integer_binary(name: str, doc: str, sign: str, evaluate: Callable[[Array, Array], Array]) -> Binary:
    return binary(
        name,
        doc,
        f"{{0}} {sign} {{1}}",
        evaluate,
        None,
        low=-9,
        high=9,
        infer=infer_integer,
        commutative=True,
        sample_dtype=dtype_of("int32"),
    )


bitwise_and: Binary = _integer_binary(
    "bitwise_and", "Both bits; for bools, whether both are true.", "&", np.bitwise_and
)
bitwise_or: Binary = _integer_binary("bitwise_or", "Either bit; for bools, whether either is true.", "|", np.bitwise_or)
bitwise_xor: Binary = _integer_binary(
    "bitwise_xor", "Differing bits; for bools, whether they differ.", "^", np.bitwise_xor
)
bitwise_not: Unary = unary(
    "bitwise_not",
    "Every bit turned over; for bools, whether the operand is false.",
    "bitwise_not({0})",
    np.invert,
    None,
    -9,
    9,
    infer=infer_integer,
    sample_dtype=dtype_of("int32"),
)


def logical_and(x: Operand, y: Operand) -> Value:
    """Whether both operands are true (not zero)."""
    return bitwise_and(cast(x, bool_), cast(y, bool_))


def logical_or(x: Operand, y: Operand) -> Value:
    """Whether at least one operand is true (not zero)."""
    return bitwise_or(cast(x, bool_), cast(y, bool_))


def logical_xor(x: Operand, y: Operand) -> Value:
    """Whether exactly one operand is true (not zero)."""
    return bitwise_xor(cast(x, bool_), cast(y, bool_))


def logical_not(x: Operand) -> Value:
    """Whether the operand is false (zero)."""
    return bitwise_not(cast(x, bool_))
