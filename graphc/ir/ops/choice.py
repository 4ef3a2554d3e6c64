"""Choosing between operands: where, extremes, limits, relu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.errors import DTypeError
from graphc.ir.build import apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.op import OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import multiply
from graphc.ir.ops.comparison import (
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
)
from graphc.ir.ops.conversion import cast, promoted
from graphc.ir.ops.declare import Binary, Unary, binary, infer_same, points, same_dtype, unary
from graphc.ir.ops.leaves import as_value
from graphc.ir.types import DType, TensorType, bool_, broadcast_shapes

__all__ = [
    "clip",
    "maximum",
    "minimum",
    "relu",
    "where",
]


def _tied(chosen: Callable[[Value, Value], Value]) -> Callable[[Value, Value, Value, Value], tuple[Value, Value]]:
    """The derivative of maximum and minimum: ties share the cotangent equally."""

    def derivative(x: Value, y: Value, z: Value, g: Value) -> tuple[Value, Value]:
        half = multiply(g, 0.5)
        tie = equal(x, y)
        return (where(tie, half, where(chosen(x, y), g, 0.0)), where(tie, half, where(chosen(y, x), g, 0.0)))

    return derivative


maximum: Binary = binary(
    "maximum",
    "The larger of two operands; NaN where either is NaN. Ties share the gradient equally.",
    "maximum({0}, {1})",
    np.maximum,
    _tied(lambda x, y: greater(x, y)),
    commutative=True,
)
minimum: Binary = binary(
    "minimum",
    "The smaller of two operands; NaN where either is NaN. Ties share the gradient equally.",
    "minimum({0}, {1})",
    np.minimum,
    _tied(lambda x, y: less(x, y)),
    commutative=True,
)
relu: Unary = unary(
    "relu",
    "max(x, 0); its derivative at 0 is 0.",
    "relu({0})",
    lambda x: np.maximum(x, x.dtype.type(0)),
    lambda x, y, g: where(greater(y, 0), g, 0.0),
)


def _infer_where(attrs: Any, condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if not condition.dtype.is_bool:
        raise DTypeError(f"a condition of dtype {condition.dtype}", expected="bool", remedy="compare it, as in x > 0")
    return TensorType(same_dtype((x, y)), broadcast_shapes(condition.shape, x.shape, y.shape))


def _where_samples() -> list[Sample]:
    x, y = points(1, (2, 3), -1, 1), points(2, (3,), -1, 1)
    return [
        Sample(where, (x > 0, x, y[None]), (1, 2)),
        Sample(where, (np.array(True), x, y), (1, 2)),
        Sample(where, (x[:, :1] > 0, x[0], y), (1, 2)),
        Sample(where, (np.zeros((0, 3), bool), np.zeros((0, 3)), y), (1, 2)),
    ]


WHERE = registry.add(
    OpDef(
        "where",
        "The second operand where the first is true, else the third.",
        infer=_infer_where,
        evaluate=lambda attrs, condition, x, y: np.where(condition, x, y),
        vjp=lambda node, g: (None, where(node.inputs[0], g, 0.0), where(node.inputs[0], 0.0, g)),
        expression="where({0}, {1}, {2})",
        samples=_where_samples,
    )
)


def where(condition: Operand, x: Operand, y: Operand) -> Value:
    """``x`` where ``condition`` is true, else ``y``; all three broadcast, ``x`` and ``y`` are promoted."""
    return apply_one(WHERE, (cast(condition, bool_), *promoted((x, y))))


def _clip_vjp(node: Node, g: Value) -> tuple[Value, Value, Value]:
    x, low, high = node.inputs
    below, above = less(x, low), greater(x, high)
    return (
        where(logical_and(greater_equal(x, low), less_equal(x, high)), g, 0.0),
        where(logical_and(below, logical_not(greater(low, high))), g, 0.0),
        where(logical_or(above, greater(low, high)), g, 0.0),
    )


CLIP = registry.add(
    OpDef(
        "clip",
        "The operand limited to a range; the derivative is 1 inside it and on its ends.",
        infer=infer_same,
        evaluate=lambda attrs, x, low, high: np.minimum(np.maximum(x, low), high),
        vjp=_clip_vjp,
        expression="minimum(maximum({0}, {1}), {2})",
        samples=lambda: [
            Sample(lambda x, a, b: clip(x, a, b), (points(3, (4, 5), -2, 2), np.array(-0.5), np.array(0.8)), (0, 1, 2)),
            Sample(lambda x: clip(x, None, 0.3), (points(3, (4,), -2, 2),), (0,)),
            Sample(lambda x: clip(x, 0.1, 0.3), (points(3, (), -2, 2),), (0,)),
        ],
    )
)


def clip(x: Operand, min: Operand = None, max: Operand = None) -> Value:
    """``x`` limited to the range from ``min`` to ``max``, where None is no limit. Where they cross, ``max`` wins."""
    given = [operand for operand in (min, max) if operand is not None]
    value, *limits = promoted((x, *given))
    if not limits:
        return value
    if len(limits) == 1:  # the limit that is missing is one that nothing passes
        endless = _endless(value.dtype, upper=max is None)
        limits.insert(1 if max is None else 0, endless)
    return apply_one(CLIP, (value, *limits))


def _endless(dtype: DType, upper: bool) -> Value:
    """The largest, or the smallest, number of a dtype."""
    if dtype.is_float:
        return as_value(np.array(np.inf if upper else -np.inf, dtype.numpy))
    if dtype.is_bool:
        return as_value(np.array(upper))
    limits = np.iinfo(dtype.numpy)
    return as_value(np.array(limits.max if upper else limits.min, dtype.numpy))
