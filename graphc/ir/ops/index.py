"""Choosing items by indices that are data: take, gather and their adjoints.

Negative indices count from the end. An index outside its axis is a :class:`~graphc.errors.IndexFault` at run time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.errors import DTypeError, IndexFault, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.dims import Size
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.comparison import equal
from graphc.ir.ops.conversion import cast, promoted
from graphc.ir.ops.creation import iota, zeros_like
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.shape import broadcast_to, expand_dims, flatten, reshape, sample_array
from graphc.ir.types import (
    DType,
    Shape,
    TensorType,
    broadcast_shapes,
    dtype_of,
    normalize_axis,
    shape_text,
    unify,
)
from graphc.record import record

__all__ = ["gather", "index_add", "one_hot", "scatter_add", "take"]


@record
class AxisAttrs:
    axis: int


# --- inference and evaluation ----------------------------------------------------------------------------------------


def _require_integer(indices: TensorType) -> None:
    if not indices.dtype.is_integer:
        raise DTypeError(
            f"indices of dtype {indices.dtype}",
            expected="integers",
            remedy="choose with gr.where by a condition; convert whole numbers with .astype('int64')",
        )


def _require_same(found: Shape, wanted: Shape, what: str) -> None:
    fits = len(found) == len(wanted) and all(unify(a, b) is not None for a, b in zip(found, wanted, strict=True))
    if not fits:
        raise ShapeError(f"{what} of shape {shape_text(found)}", expected=f"shape {shape_text(wanted)}")


def _require_axis(x: TensorType, axis: int) -> None:
    if not 0 <= axis < x.rank:
        raise ShapeError(f"axis {axis} of an operand of {x.rank} axes", expected="an axis of the operand")


def _require_updates(x: TensorType, updates: TensorType) -> None:
    if updates.dtype != x.dtype or x.dtype.is_bool:
        raise DTypeError(
            f"updates of dtype {updates.dtype} added to {x.dtype}", expected="one numeric dtype", remedy="cast one"
        )


def _infer_take(attrs: AxisAttrs, x: TensorType, indices: TensorType) -> TensorType:
    _require_axis(x, attrs.axis)
    _require_integer(indices)
    return TensorType(x.dtype, (*x.shape[: attrs.axis], *indices.shape, *x.shape[attrs.axis + 1 :]))


def _infer_index_add(attrs: AxisAttrs, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
    _require_updates(x, updates)
    _require_same(updates.shape, _infer_take(attrs, x, indices).shape, "updates")
    return x


def _infer_gather(attrs: AxisAttrs, x: TensorType, indices: TensorType) -> TensorType:
    _require_axis(x, attrs.axis)
    _require_integer(indices)
    if indices.rank != x.rank:
        raise ShapeError(
            f"indices of {indices.rank} axes for an operand of {x.rank}",
            expected="equally many",
            remedy="insert axes, as in indices[:, None]; gr.take chooses whole slices",
        )
    length = indices.shape[attrs.axis]
    _require_same(indices.shape, (*x.shape[: attrs.axis], length, *x.shape[attrs.axis + 1 :]), "indices")
    return TensorType(x.dtype, indices.shape)


def _infer_scatter_add(attrs: AxisAttrs, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
    _require_updates(x, updates)
    _infer_gather(attrs, x, indices)
    _require_same(updates.shape, indices.shape, "updates")
    return x


def _checked(indices: Array, size: int) -> Array:
    """The indices as int64, after a check that each exists on an axis of this size."""
    wide = indices.astype(np.int64)
    wrong = np.flatnonzero((wide < -size) | (wide >= size))
    if wrong.size:
        position = int(wrong[0])
        raise IndexFault(
            f"the index {wide.flat[position]}, item {position} of the indices, is outside an axis of size {size}",
            expected=f"an integer from {-size} to {size - 1}" if size else "no indices: the axis is empty",
        )
    return wide


def _evaluate_take(attrs: AxisAttrs, x: Array, indices: Array) -> Array:
    return np.take(x, _checked(indices, x.shape[attrs.axis]), attrs.axis)


def _evaluate_index_add(attrs: AxisAttrs, x: Array, indices: Array, updates: Array) -> Array:
    result = x.copy()
    places: Any = (slice(None),) * attrs.axis + (_checked(indices, x.shape[attrs.axis]),)
    np.add.at(result, places, updates)
    return result


def _evaluate_gather(attrs: AxisAttrs, x: Array, indices: Array) -> Array:
    return np.take_along_axis(x, _checked(indices, x.shape[attrs.axis]), attrs.axis)


def _evaluate_scatter_add(attrs: AxisAttrs, x: Array, indices: Array, updates: Array) -> Array:
    result = x.copy()
    places: list[Any] = list(np.indices(indices.shape, sparse=True))
    places[attrs.axis] = _checked(indices, x.shape[attrs.axis])
    np.add.at(result, tuple(places), updates)
    return result


# --- take, gather and their adjoints ---------------------------------------------------------------------------------


def _take_vjp(node: Node, g: Value) -> tuple[Value, None]:
    x, indices = node.inputs
    return apply_one(INDEX_ADD, (zeros_like(x), indices, g), node.attrs), None


TAKE = registry.add(
    OpDef(
        "take",
        "Slices of the first operand along an axis, at the second's indices.",
        infer=_infer_take,
        evaluate=_evaluate_take,
        vjp=_take_vjp,
        attrs=AxisAttrs,
        faults=True,
        samples=lambda: [
            Sample(take, (sample_array(5, 3), np.array([[4, 0, -1], [0, 0, -5]])), (0,)),
            Sample(lambda x, i: take(x, i, 0), (sample_array(5, 3), np.array([4, 0, -1, 4])), (0,)),
            Sample(lambda x, i: take(x, i, -1), (sample_array(2, 4), np.array([[1, -4], [3, 3]], np.int32)), (0,)),
            Sample(lambda x, i: take(x, i, 1), (sample_array(2, 4, 3), np.array(-2)), (0,)),
            Sample(lambda x, i: take(x, i, 0), (sample_array(4, 0), np.array([1, 2], np.int8)), (0,)),
            Sample(lambda x, i: take(x, i, 1), (sample_array(2, 0, 3), np.zeros((0, 2), np.int64)), (0,)),
        ],
    )
)


def _index_add_vjp(node: Node, g: Value) -> tuple[Value, None, Value]:
    return g, None, apply_one(TAKE, (g, node.inputs[1]), node.attrs)


INDEX_ADD = registry.add(
    OpDef(
        "index_add",
        "The first operand, with the slices of the third added along an axis at the second's indices.",
        infer=_infer_index_add,
        evaluate=_evaluate_index_add,
        vjp=_index_add_vjp,
        attrs=AxisAttrs,
        faults=True,
        samples=lambda: [
            Sample(index_add, (sample_array(4, 3), np.array([3, 0, -1, 3]), sample_array(4, 3)), (0, 2)),
            Sample(
                lambda x, i, u: index_add(x, i, u, 1),
                (sample_array(2, 4), np.array([[1, -4]]), sample_array(2, 1, 2)),
                (0, 2),
            ),
            Sample(
                lambda x, i, u: index_add(x, i, u, 1), (sample_array(2, 4, 3), np.array(2), sample_array(2, 3)), (0, 2)
            ),
            Sample(index_add, (sample_array(3), np.zeros(0, np.int64), sample_array(0)), (0, 2)),
            Sample(index_add, (sample_array(4, 0), np.array([1]), sample_array(1, 0)), (0, 2)),
        ],
    )
)


def _gather_vjp(node: Node, g: Value) -> tuple[Value, None]:
    x, indices = node.inputs
    return apply_one(SCATTER_ADD, (zeros_like(x), indices, g), node.attrs), None


GATHER = registry.add(
    OpDef(
        "gather",
        "Items of the first operand along an axis, at the second's indices, one for each of these.",
        infer=_infer_gather,
        evaluate=_evaluate_gather,
        vjp=_gather_vjp,
        attrs=AxisAttrs,
        faults=True,
        samples=lambda: [
            Sample(gather, (sample_array(2, 4), np.array([[3, -1], [0, 0]])), (0,)),
            Sample(lambda x, i: gather(x, i, 0), (sample_array(3, 2), np.array([[2, -3]], np.int32)), (0,)),
            Sample(lambda x, i: gather(x, i, 1), (sample_array(2, 3, 2), np.array([[[1], [2], [1], [0]]])), (0,)),
            Sample(gather, (sample_array(3), np.array([1, 1])), (0,)),
            Sample(gather, (sample_array(2, 3), np.zeros((2, 0), np.int64)), (0,)),
        ],
    )
)


def _scatter_add_vjp(node: Node, g: Value) -> tuple[Value, None, Value]:
    return g, None, apply_one(GATHER, (g, node.inputs[1]), node.attrs)


SCATTER_ADD = registry.add(
    OpDef(
        "scatter_add",
        "The first operand, with the items of the third added along an axis at the second's indices.",
        infer=_infer_scatter_add,
        evaluate=_evaluate_scatter_add,
        vjp=_scatter_add_vjp,
        attrs=AxisAttrs,
        faults=True,
        samples=lambda: [
            Sample(scatter_add, (sample_array(2, 4), np.array([[3, -1], [0, 0]]), sample_array(2, 2)), (0, 2)),
            Sample(
                lambda x, i, u: scatter_add(x, i, u, 0),
                (sample_array(3, 2), np.array([[2, -3]]), sample_array(1, 2)),
                (0, 2),
            ),
            Sample(
                lambda x, i, u: scatter_add(x, i, u, 1),
                (sample_array(2, 3, 2), np.array([[[1], [1]]]), np.array(0.5)),
                (0, 2),
            ),
            Sample(scatter_add, (sample_array(3), np.array([1, 1]), sample_array(2)), (0, 2)),
            Sample(scatter_add, (sample_array(0, 3), np.zeros((0, 2), np.int32), sample_array(0, 2)), (0, 2)),
        ],
    )
)


def as_indices(indices: Operand) -> Value:
    """Indices as a value; an empty list is one of integers."""
    if isinstance(indices, list | tuple) and not np.size(indices):
        return as_value(np.zeros(np.shape(indices), np.int64))
    return as_value(indices)


def take(x: Operand, indices: Operand, axis: int | None = None) -> Value:
    """Slices of ``x`` along an axis: ``result[..., i, ...] = x[..., indices[i], ...]``.

    Args:
        x: at least one axis.
        indices: integers of any shape, which replaces the axis in the shape of the result.
        axis: where to take; None to take from the flat array.

    Raises:
        ShapeError: the axis does not exist.
        DTypeError: the indices are not integers.
        IndexFault: at run time, an index is outside the axis.
    """
    value = as_value(x)
    if axis is None:
        value, axis = flatten(value), 0
    return apply_one(TAKE, (value, as_indices(indices)), AxisAttrs(normalize_axis(axis, value.ndim)))


def index_add(x: Operand, indices: Operand, updates: Operand, axis: int = 0) -> Value:
    """``x`` with ``updates[..., i, ...]`` added to ``x[..., indices[i], ...]``; equal indices add up.

    Args:
        x: at least one axis.
        indices: integers of any shape.
        updates: broadcast to the shape of ``take(x, indices, axis)``.
        axis: where to add.

    Raises:
        ShapeError: the axis does not exist, or the updates do not fit.
        DTypeError: the indices are not integers, or the numbers are bools.
        IndexFault: at run time, an index is outside the axis.
    """
    value, more = promoted((x, updates))
    attrs, places = AxisAttrs(normalize_axis(axis, value.ndim)), as_indices(indices)
    spread = broadcast_to(more, _infer_take(attrs, value.type, places.type).shape)
    return apply_one(INDEX_ADD, (value, places, spread), attrs)


def _gather_shapes(x: Value, axis: int, *others: Shape) -> tuple[Shape, Shape]:
    """The shapes that ``x`` and what goes with it have after broadcasting all axes but ``axis``."""
    own, *rest = [(*shape[:axis], 1, *shape[axis + 1 :]) for shape in (x.shape, *others)]
    around = broadcast_shapes(own, *rest)
    (length,) = broadcast_shapes(*(shape[axis : axis + 1] for shape in others))
    return (*around[:axis], x.shape[axis], *around[axis + 1 :]), (*around[:axis], length, *around[axis + 1 :])


def gather(x: Operand, indices: Operand, axis: int = -1) -> Value:
    """Items of ``x`` along an axis, as NumPy's ``take_along_axis``: ``result[i, j] = x[i, indices[i, j]]``.

    Args:
        x: at least one axis.
        indices: integers with as many axes as ``x``; all but ``axis`` broadcast with those of ``x``.
        axis: where to gather.

    Raises:
        ShapeError: the axis does not exist, or the shapes do not fit.
        DTypeError: the indices are not integers.
        IndexFault: at run time, an index is outside the axis.
    """
    value, places = as_value(x), as_indices(indices)
    attrs = AxisAttrs(normalize_axis(axis, value.ndim))
    if places.ndim == value.ndim:
        source, target = _gather_shapes(value, attrs.axis, places.shape)
        value, places = broadcast_to(value, source), broadcast_to(places, target)
    return apply_one(GATHER, (value, places), attrs)


def scatter_add(x: Operand, indices: Operand, updates: Operand, axis: int = -1) -> Value:
    """``x`` with updates added along an axis: ``x[i, indices[i, j]] += updates[i, j]``; equal indices add up.

    Args:
        x: at least one axis.
        indices: integers with as many axes as ``x``. They and the updates broadcast to one shape, whose sizes but for
            ``axis`` are those of ``x``.
        updates: the numbers to add.
        axis: where to add.

    Raises:
        ShapeError: the axis does not exist, or the shapes do not fit.
        DTypeError: the indices are not integers, or the numbers are bools.
        IndexFault: at run time, an index is outside the axis.
    """
    value, more = promoted((x, updates))
    places, attrs = as_indices(indices), AxisAttrs(normalize_axis(axis, value.ndim))
    if places.ndim == value.ndim and more.ndim <= value.ndim:
        shape = (1,) * (value.ndim - more.ndim) + more.shape
        _, target = _gather_shapes(value, attrs.axis, places.shape, shape)
        places, more = broadcast_to(places, target), broadcast_to(more, target)
    return apply_one(SCATTER_ADD, (value, places, more), attrs)


def one_hot(labels: Operand, num_classes: Size, axis: int = -1, dtype: DType | str | type = "float32") -> Value:
    """1 at the place that each label names on a new axis, 0 elsewhere; all 0 for a label that is no class.

    Args:
        labels: integers of any shape.
        num_classes: the size of the new axis, an integer or Dim.
        axis: where the new axis stands in the result.
        dtype: of the result.

    Raises:
        DTypeError: the labels are not integers.
        ShapeError: the axis does not exist in the result.
    """
    value = as_value(labels)
    _require_integer(value.type)
    position = normalize_axis(axis, value.ndim + 1)
    classes = reshape(iota(num_classes), (num_classes, *(1,) * (value.ndim - position)))
    return cast(equal(expand_dims(value, position), classes), dtype_of(dtype))
