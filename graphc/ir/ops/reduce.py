"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.dims import product
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, no_gradient, registry
from graphc.ir.operators import Axes, Operand
from graphc.ir.ops.arithmetic import divide, multiply
from graphc.ir.ops.choice import where
from graphc.ir.ops.comparison import equal
from graphc.ir.ops.conversion import cast
from graphc.ir.ops.creation import eye
from graphc.ir.ops.index import AxisAttrs
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.shape import broadcast_to, expand_dims, moveaxis, reshape
from graphc.ir.types import DType, Shape, TensorType, bool_, int64, normalize_axes, shape_text
from graphc.record import record

__all__ = ["all", "any", "max", "min", "prod", "sum"]


@record
class ReduceAttrs:
    """``axes`` count from the front, in rising order; with ``keepdims`` they stay, with size 1."""

    axes: tuple[int, ...]
    keepdims: bool = False


def reduced_shape(shape: Shape, axes: Sequence[int], keepdims: bool) -> Shape:
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def require_items(shape: Shape, axes: Sequence[int]) -> None:
    for axis in axes:
        if shape[axis] == 0:
            raise ShapeError(
                f"axis {axis} of shape {shape_text(shape)} has no items: none is the largest or the smallest",
                expected="at least one item along each reduced axis",
                remedy="reduce other axes, or concatenate a value to start from",
            )


def accumulator(dtype: DType) -> DType:
    """The dtype in which items are summed or multiplied: int64 for bool and integers, where NumPy's can be wider."""
    return dtype if dtype.is_float else int64


def require_numbers(dtype: DType) -> None:
    if dtype.is_bool:
        raise DTypeError("an operand of dtype bool", expected="a float or an integer dtype", remedy="cast it")


def _require_bool(dtype: DType) -> None:
    if not dtype.is_bool:
        raise DTypeError(f"an operand of dtype {dtype}", expected="bool", remedy="compare it, as in x > 0")


def points(shape: tuple[int, ...], dtype: str = "float64") -> Array:
    return np.random.default_rng(3).uniform(-2, 2, shape).astype(dtype)


def tied_points() -> Array:
    return np.array([[1.0, 3.0, 3.0, -1.0], [2.0, 2.0, 2.0, 2.0]])


def _reduction_samples(build: Callable[..., Value], differentiable: bool, of_nothing: bool) -> list[Sample]:
    by = (0,) if differentiable else ()
    x = points((2, 3, 4))
    samples = [
        Sample(build, (x,), by, label="all axes"),
        Sample(lambda x: build(x, 1), (x,), by, label="middle axis"),
        Sample(lambda x: build(x, -1, keepdims=True), (x,), by, label="last axis, kept"),
        Sample(lambda x: build(x, (2, 0)), (x,), by, label="two axes"),
        Sample(lambda x: build(x, (0, 1), keepdims=True), (x[:, :, :1],), by, label="two axes, kept"),
        Sample(lambda x: build(x, ()), (x,), by, label="no axis"),
        Sample(build, (points(()),), by, label="0-d"),
        Sample(lambda x: build(x, 1), (x[:, :1],), by, label="axis of size 1"),
        Sample(lambda x: build(x, 1), (x[:0],), by, label="empty result"),
        Sample(lambda x: build(x, 0), (tied_points(),), by, smooth=False, label="ties"),
        Sample(lambda x: build(x, 1), ((10 * x).astype("int32"),), label="int32"),
        Sample(lambda x: build(x, 1), (x > 0,), label="bool"),
    ]
    if of_nothing:
        samples.append(Sample(lambda x: build(x, 0), (x[:0],), by, label="reduced axis is empty"))
    return samples


def _declare(
    name: str,
    doc: str,
    combine: str,
    evaluate: Callable[..., Any],
    vjp: Callable[[Node, Value], Sequence[Value | None]],
    build: Callable[..., Value],
    of_nothing: bool = True,
    check: Callable[[DType], None] = lambda dtype: None,
) -> OpDef:
    def infer(attrs: ReduceAttrs, x: TensorType) -> TensorType:
        check(x.dtype)
        if not of_nothing:
            require_items(x.shape, attrs.axes)
        return TensorType(x.dtype, reduced_shape(x.shape, attrs.axes, attrs.keepdims))

    return registry.add(
        OpDef(
            name,
            doc,
            infer=infer,
            evaluate=lambda attrs, x: np.asarray(evaluate(x, attrs), x.dtype),
            vjp=vjp,
            attrs=ReduceAttrs,
            reduction=combine,
            needs_items=not of_nothing,
            samples=lambda: _reduction_samples(build, vjp is not no_gradient, of_nothing),
        )
    )


def _apply(op: OpDef, x: Value, axis: Axes, keepdims: bool) -> Value:
    axes = normalize_axes(axis, x.ndim)
    return apply_one(op, (x,), ReduceAttrs(axes, keepdims)) if axes else x


def _kept(value: Value, node: Node) -> Value:
    """A value of the reduction's shape with the reduced axes put back, of size 1."""
    if node.attrs.keepdims:
        return value
    return reshape(value, reduced_shape(node.inputs[0].shape, node.attrs.axes, keepdims=True))


# --- sums and products ----------------------------------------------------------------------------


def sum(x: Operand, axis: Axes = None, keepdims: bool = False) -> Value:
    """The sum over axes; 0 of nothing.

    Args:
        x: any shape and dtype. Bool and integers are summed as int64.
        axis: one axis, several, or None for all.
        keepdims: whether the summed axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist or stands twice.
    """
    value = as_value(x)
    return _apply(SUM, cast(value, accumulator(value.dtype)), axis, keepdims)


def prod(x: Operand, axis: Axes = None, keepdims: bool = False) -> Value:
    """The product over axes; 1 of nothing. Its derivatives are exact where items are zero.

    Args:
        x: any shape and dtype. Bool and integers are multiplied as int64.
        axis: one axis, several, or None for all.
        keepdims: whether the multiplied axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist or stands twice.
    """
    value = as_value(x)
    return _apply(PROD, cast(value, accumulator(value.dtype)), axis, keepdims)


def _prod_vjp(node: Node, g: Value) -> tuple[Value]:
    (x,) = node.inputs
    axes: tuple[int, ...] = node.attrs.axes
    if len(axes) == 1:
        return (multiply(_kept(g, node), exclusive_prod(x, axes[0])),)
    last = range(x.ndim - len(axes), x.ndim)
    moved = moveaxis(x, axes, last)
    rows = reshape(moved, (*moved.shape[: last.start], product(moved.shape[last.start :])))
    products = reshape(exclusive_prod(rows, last.start), moved.shape)
    return (multiply(_kept(g, node), moveaxis(products, last, axes)),)


SUM = _declare(
    "sum",
    "The sum over axes.",
    "add",
    lambda x, attrs: np.sum(x, attrs.axes, x.dtype, keepdims=attrs.keepdims),
    lambda node, g: (broadcast_to(_kept(g, node), node.inputs[0].shape),),
    sum,
    check=require_numbers,
)
PROD = _declare(
    "prod",
    "The product over axes.",
    "multiply",
    lambda x, attrs: np.prod(x, attrs.axes, x.dtype, keepdims=attrs.keepdims),
    _prod_vjp,
    prod,
    check=require_numbers,
)


def _before(x: Array) -> Array:
    """The products of the items before each, along the last axis."""
    return np.cumprod(np.concatenate([np.ones_like(x[..., :1]), x[..., :-1]], -1), -1)


def _evaluate_exclusive_prod(attrs: AxisAttrs, x: Array) -> Array:
    rows = np.moveaxis(x, attrs.axis, -1)
    return np.moveaxis(_before(rows) * _before(rows[..., ::-1])[..., ::-1], -1, attrs.axis)


def _exclusive_prod_vjp(node: Node, g: Value) -> tuple[Value]:
    """Each result is the product of a row of the matrix that repeats the items and has ones on its diagonal."""
    (x,), axis = node.inputs, node.attrs.axis
    size = x.shape[axis]
    diagonal = reshape(eye(size, dtype=bool_), (size, size) + (1,) * (x.ndim - axis - 1))
    matrix = where(diagonal, 1.0, expand_dims(x, axis))
    products = where(diagonal, 0.0, exclusive_prod(matrix, axis + 1))
    return (sum(multiply(expand_dims(g, axis + 1), products), axis),)


EXCLUSIVE_PROD = registry.add(
    OpDef(
        "exclusive_prod",
        "For each item, the product of all other items along the axis: the derivative of the product by the item.",
        infer=lambda attrs, x: x,
        evaluate=_evaluate_exclusive_prod,
        vjp=_exclusive_prod_vjp,
        attrs=AxisAttrs,
        samples=lambda: [
            Sample(lambda x: exclusive_prod(x, 1), (points((2, 3)),), (0,), label="last axis"),
            Sample(lambda x: exclusive_prod(x, 0), (points((3, 2)),), (0,), label="first axis"),
            Sample(lambda x: exclusive_prod(x, 1), (points((2, 4, 3)),), (0,), label="middle axis"),
            Sample(lambda x: exclusive_prod(x, 0), (np.array([2.0, 0.0, 3.0]),), (0,), label="a zero"),
            Sample(lambda x: exclusive_prod(x, 0), (np.array([2.0, 0.0, 3.0, 0.0]),), (0,), label="two zeros"),
            Sample(lambda x: exclusive_prod(x, 0), (points((1,)),), (0,), label="axis of size 1"),
            Sample(lambda x: exclusive_prod(x, 1), (points((2, 0)),), (0,), label="empty"),
        ],
    )
)


def exclusive_prod(x: Value, axis: int) -> Value:
    """For each item, the product of the others along ``axis``."""
    return apply_one(EXCLUSIVE_PROD, (x,), AxisAttrs(axis))


# --- extremes and logic ---------------------------------------------------------------------------


def max(x: Operand, axis: Axes = None, keepdims: bool = False) -> Value:
    """The largest item over axes; NaN where there is one. Ties share the gradient equally.

    Args:
        x: any shape and dtype, at least one item along each reduced axis.
        axis: one axis, several, or None for all.
        keepdims: whether the reduced axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist, stands twice, or has no items.
    """
    return _apply(MAX, as_value(x), axis, keepdims)


def min(x: Operand, axis: Axes = None, keepdims: bool = False) -> Value:
    """The smallest item over axes; NaN where there is one. Ties share the gradient equally.

    Args:
        x: any shape and dtype, at least one item along each reduced axis.
        axis: one axis, several, or None for all.
        keepdims: whether the reduced axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist, stands twice, or has no items.
    """
    return _apply(MIN, as_value(x), axis, keepdims)


def _extreme_vjp(node: Node, g: Value) -> tuple[Value]:
    (x,) = node.inputs
    chosen = equal(x, _kept(node.output, node))
    count = sum(cast(chosen, x.dtype), node.attrs.axes, keepdims=True)
    return (where(chosen, divide(_kept(g, node), count), 0.0),)


MAX = _declare(
    "max",
    "The largest item over axes.",
    "maximum",
    lambda x, attrs: np.max(x, attrs.axes, keepdims=attrs.keepdims),
    _extreme_vjp,
    max,
    of_nothing=False,
)
MIN = _declare(
    "min",
    "The smallest item over axes.",
    "minimum",
    lambda x, attrs: np.min(x, attrs.axes, keepdims=attrs.keepdims),
    _extreme_vjp,
    min,
    of_nothing=False,
)


def any(x: Operand, axis: Axes = None, keepdims: bool = False) -> Value:
    """Whether any item over axes is true (not zero), a bool; False of nothing.

    Args:
        x: any shape and dtype.
        axis: one axis, several, or None for all.
        keepdims: whether the reduced axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist or stands twice.
    """
    return _apply(ANY, cast(x, bool_), axis, keepdims)


def all(x: Operand, axis: Axes = None, keepdims: bool = False) -> Value:
    """Whether all items over axes are true (not zero), a bool; True of nothing.

    Args:
        x: any shape and dtype.
        axis: one axis, several, or None for all.
        keepdims: whether the reduced axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist or stands twice.
    """
    return _apply(ALL, cast(x, bool_), axis, keepdims)


ANY = _declare(
    "any",
    "Whether any item over axes is true.",
    "or",
    lambda x, attrs: np.any(x, attrs.axes, keepdims=attrs.keepdims),
    no_gradient,
    any,
    check=_require_bool,
)
ALL = _declare(
    "all",
    "Whether all items over axes are true.",
    "and",
    lambda x, attrs: np.all(x, attrs.axes, keepdims=attrs.keepdims),
    no_gradient,
    all,
    check=_require_bool,
)
