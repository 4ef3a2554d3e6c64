"""The places of extremes, and cumulative sums, along an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.ir.build import apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, no_gradient, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.conversion import cast
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.reduce import accumulator, points, reduced_shape, require_items, require_numbers, tied_points
from graphc.ir.ops.shape import reshape
from graphc.ir.types import TensorType, int64, normalize_axis
from graphc.record import record

__all__ = ["argmax", "argmin", "cumsum"]


@record
class ArgAttrs:
    """``axis`` counts from the front; with ``keepdims`` it stays, with size 1."""

    axis: int
    keepdims: bool = False


def _infer_place(attrs: ArgAttrs, x: TensorType) -> TensorType:
    require_items(x.shape, (attrs.axis,))
    return TensorType(int64, reduced_shape(x.shape, (attrs.axis,), attrs.keepdims))


def _place(op: OpDef, x: Operand, axis: int | None, keepdims: bool) -> Value:
    value = as_value(x)
    if axis is not None:
        return apply_one(op, (value,), ArgAttrs(normalize_axis(axis, value.ndim), keepdims))
    place = apply_one(op, (reshape(value, (value.size,)),), ArgAttrs(0))
    return reshape(place, (1,) * value.ndim) if keepdims else place


def argmax(x: Operand, axis: int | None = None, keepdims: bool = False) -> Value:
    """The place of the largest item along an axis, int64: the first among equals, or of the first NaN.

    Args:
        x: any shape and dtype, at least one item along the axis.
        axis: the axis; None for the place in the flat array.
        keepdims: whether the axis (for None: every axis) stays, with size 1.

    Raises:
        ShapeError: the axis does not exist or has no items.
    """
    return _place(ARGMAX, x, axis, keepdims)


def argmin(x: Operand, axis: int | None = None, keepdims: bool = False) -> Value:
    """The place of the smallest item along an axis, int64: the first among equals, or of the first NaN.

    Args:
        x: any shape and dtype, at least one item along the axis.
        axis: the axis; None for the place in the flat array.
        keepdims: whether the axis (for None: every axis) stays, with size 1.

    Raises:
        ShapeError: the axis does not exist or has no items.
    """
    return _place(ARGMIN, x, axis, keepdims)


def _place_samples(build: Callable[..., Value]) -> list[Sample]:
    x = points((2, 3, 4))
    holes = np.where(x > 1, np.nan, x)
    return [
        Sample(build, (x,), label="flat"),
        Sample(lambda x: build(x, keepdims=True), (x,), label="flat, kept"),
        Sample(lambda x: build(x, -1), (x,), label="last axis"),
        Sample(lambda x: build(x, 1, keepdims=True), (x,), label="middle axis, kept"),
        Sample(lambda x: build(x, 0), (x,), label="first axis"),
        Sample(lambda x: build(x, 1), (tied_points(),), label="ties"),
        Sample(lambda x: build(x, 2), (holes,), label="NaN"),
        Sample(lambda x: build(x, 0), (holes,), label="NaN along the first axis"),
        Sample(build, (points(()),), label="0-d"),
        Sample(lambda x: build(x, 1), (x[:0],), label="empty"),
        Sample(lambda x: build(x, 1), ((2 * x).astype("int8"),), label="int8"),
        Sample(lambda x: build(x, -1), (x > 0,), label="bool"),
    ]


def _declare_place(name: str, doc: str, evaluate: Callable[..., Any], build: Callable[..., Value]) -> OpDef:
    return registry.add(
        OpDef(
            name,
            doc,
            infer=_infer_place,
            evaluate=lambda attrs, x: np.asarray(evaluate(x, attrs.axis, keepdims=attrs.keepdims), np.int64),
            vjp=no_gradient,
            attrs=ArgAttrs,
            needs_items=True,
            samples=lambda: _place_samples(build),
        )
    )


ARGMAX = _declare_place("argmax", "The place of the largest item along an axis.", np.argmax, argmax)
ARGMIN = _declare_place("argmin", "The place of the smallest item along an axis.", np.argmin, argmin)


@record
class CumsumAttrs:
    """``axis`` counts from the front; with ``reverse`` the sums run from the axis's end."""

    axis: int
    reverse: bool = False


def _evaluate_cumsum(attrs: CumsumAttrs, x: Array) -> Array:
    if attrs.reverse:
        return np.flip(np.cumsum(np.flip(x, attrs.axis), attrs.axis, x.dtype), attrs.axis)
    return np.cumsum(x, attrs.axis, x.dtype)


def _infer_cumsum(attrs: CumsumAttrs, x: TensorType) -> TensorType:
    require_numbers(x.dtype)
    return x


def _cumsum_vjp(node: Node, g: Value) -> tuple[Value]:
    return (apply_one(CUMSUM, (g,), CumsumAttrs(node.attrs.axis, not node.attrs.reverse)),)


CUMSUM = registry.add(
    OpDef(
        "cumsum",
        "Sums of the items along an axis up to and with each.",
        infer=_infer_cumsum,
        evaluate=_evaluate_cumsum,
        vjp=_cumsum_vjp,
        attrs=CumsumAttrs,
        samples=lambda: [
            Sample(cumsum, (points((2, 3)),), (0,), label="flat"),
            Sample(lambda x: cumsum(x, -1), (points((2, 3)),), (0,), label="last axis"),
            Sample(lambda x: cumsum(x, 0), (points((4, 3)),), (0,), label="first axis"),
            Sample(lambda x: cumsum(x, 1), (points((2, 4, 3)),), (0,), label="middle axis"),
            Sample(cumsum, (points(()),), (0,), label="0-d"),
            Sample(lambda x: cumsum(x, 0), (points((0, 3)),), (0,), label="empty"),
            Sample(cumsum, (np.array([True, False, True]),), label="bool"),
        ],
    )
)


def cumsum(x: Operand, axis: int | None = None) -> Value:
    """Sums of the items along ``axis`` up to and with each; of the flat array for None.

    Args:
        x: any shape and dtype. Bool and integers are summed as int64.
        axis: the axis, or None: then the result has one axis.

    Raises:
        ShapeError: the axis does not exist.
    """
    value = as_value(x)
    value = cast(value, accumulator(value.dtype))
    if axis is None:
        return apply_one(CUMSUM, (reshape(value, (value.size,)),), CumsumAttrs(0))
    return apply_one(CUMSUM, (value,), CumsumAttrs(normalize_axis(axis, value.ndim)))
