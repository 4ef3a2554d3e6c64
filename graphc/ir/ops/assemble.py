"""Arrays taken apart and put together: slice, pad and concatenate, and what is composed of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.dims import Dim, Size, maximum
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.bounds import positive_part, resolve_slice, smaller
from graphc.ir.ops.choice import where
from graphc.ir.ops.conversion import promoted
from graphc.ir.ops.leaves import as_value, constant, is_weak
from graphc.ir.ops.shape import (
    as_size,
    axes_in_order,
    broadcast_to,
    expand_dims,
    flatten,
    is_size,
    reshape,
    sample_array,
)
from graphc.ir.types import Shape, TensorType, normalize_axes, normalize_axis, shape_text, unify
from graphc.record import record

__all__ = ["concatenate", "flip", "pad", "roll", "split", "stack"]

# --- slice -----------------------------------------------------------------------------------------------------------


@record
class SliceAttrs:
    """For each axis: the first item, how many, and the distance of one to the next, which may be negative.

    An empty slice may start anywhere.
    """

    starts: tuple[Size, ...]
    sizes: Shape
    steps: tuple[int, ...]


def _infer_slice(attrs: SliceAttrs, x: TensorType) -> TensorType:
    ranks = {len(attrs.starts), len(attrs.sizes), len(attrs.steps)}
    if ranks != {x.rank}:
        raise ShapeError(f"a slice of {ranks} axes of an operand of {x.rank}", expected="one entry for each axis")
    for axis, (start, size, step, whole) in enumerate(
        zip(attrs.starts, attrs.sizes, attrs.steps, x.shape, strict=True)
    ):
        if isinstance(start, Dim) or isinstance(size, Dim) or isinstance(whole, Dim) or size == 0:
            continue
        last = start + (size - 1) * step
        if size < 0 or not (0 <= start < whole and 0 <= last < whole):
            raise ShapeError(
                f"a slice of {size} items from {start} to {last} of axis {axis}, whose size is {whole}",
                expected="items that exist",
            )
    return TensorType(x.dtype, attrs.sizes)


def _evaluate_slice(attrs: SliceAttrs, x: Array) -> Array:
    keys: list[Any] = [...]  # with it, a slice of a 0-d array is an array too
    for start, size, step in zip(attrs.starts, attrs.sizes, attrs.steps, strict=True):
        assert isinstance(start, int)
        assert isinstance(size, int)
        stop = start + size * step
        keys.insert(-1, slice(start, stop if stop >= 0 else None, step) if size else slice(0, 0))
    result: Array = x[tuple(keys)]
    return result


def _slice_vjp(node: Node, g: Value) -> tuple[Value]:
    """The cotangent on a ground of zeros, turned over where the step is negative."""
    attrs: SliceAttrs = node.attrs
    turned = [axis for axis, step in enumerate(attrs.steps) if step < 0]
    lows, highs = [], []
    for start, size, step, whole in zip(attrs.starts, attrs.sizes, attrs.steps, node.inputs[0].shape, strict=True):
        low = start if step > 0 else positive_part(start + (size - 1) * step)
        low = smaller(low, whole)  # an empty slice may start beyond the axis
        lows.append(low)
        highs.append(whole - low - _padded_size(0, size, 0, abs(step) - 1))
    interior = tuple(abs(step) - 1 for step in attrs.steps)
    return (pad_axes(flip(g, turned), constant(0, g.dtype), lows, highs, interior),)


def slice_axes(x: Value, starts: Sequence[Size], sizes: Sequence[Size], steps: Sequence[int] | None = None) -> Value:
    """``sizes[i]`` items of each axis i, from ``starts[i]`` on, ``steps[i]`` apart; steps of 1 if none are given."""
    attrs = SliceAttrs(tuple(starts), tuple(sizes), (1,) * x.ndim if steps is None else tuple(steps))
    whole = all(start == 0 for start in starts) and attrs.sizes == x.shape and set(attrs.steps) <= {1}
    return x if whole else apply_one(SLICE, (x,), attrs)


def slice_axis(x: Value, axis: int, start: Size, size: Size, step: int = 1) -> Value:
    """A slice of one axis."""
    starts = [start if position == axis else 0 for position in range(x.ndim)]
    steps = [step if position == axis else 1 for position in range(x.ndim)]
    return slice_axes(x, starts, (*x.shape[:axis], size, *x.shape[axis + 1 :]), steps)


SLICE: OpDef = registry.add(
    OpDef(
        "slice",
        "Items of each axis at equal distances.",
        infer=_infer_slice,
        evaluate=_evaluate_slice,
        vjp=_slice_vjp,
        attrs=SliceAttrs,
        view=True,
        samples=lambda: [
            Sample(lambda x: x[1:, ::2], (sample_array(3, 5),), (0,)),
            Sample(lambda x: x[::-1, -1:0:-3], (sample_array(3, 8),), (0,)),
            Sample(lambda x: x[2:1], (sample_array(3, 2),), (0,)),
            Sample(lambda x: x[:, 1:1:-1], (sample_array(2, 3),), (0,)),
            Sample(lambda x: x[::-2, :0], (sample_array(0, 4),), (0,)),
            Sample(lambda x: x[0, ::-1], (sample_array(1, 1),), (0,)),
            Sample(lambda x: slice_axes(x, (1,), (0,)), (sample_array(1),), (0,)),
            Sample(lambda x: apply_one(SLICE, (x,), SliceAttrs((), (), ())), (sample_array(),), (0,)),
        ],
    )
)


def flip(x: Operand, axis: int | Iterable[int] | None = None) -> Value:
    """``x`` with the order of its items reversed along one axis, several, or all for None.

    Raises:
        ShapeError: an axis does not exist or stands twice.
    """
    value = as_value(x)
    axes = normalize_axes(axis, value.ndim)
    starts = [size - 1 if position in axes else 0 for position, size in enumerate(value.shape)]
    return slice_axes(value, starts, value.shape, [-1 if a in axes else 1 for a in range(value.ndim)])


def split(x: Operand, sections: int | Sequence[Size], axis: int = 0) -> list[Value]:
    """The parts of ``x`` along an axis.

    Args:
        x: at least one axis.
        sections: how many equal parts; or the sorted positions, as in slices, at which to cut.
        axis: where to cut.

    Raises:
        ShapeError: the axis does not exist, or its size is not known to be divisible.
    """
    value = as_value(x)
    position = normalize_axis(axis, value.ndim)
    size = value.shape[position]
    if not isinstance(sections, int | np.integer):
        cuts = [None, *sections, None]
        parts = [resolve_slice(slice(*pair), size) for pair in itertools.pairwise(cuts)]
        return [slice_axis(value, position, start, length) for start, length, _ in parts]
    if sections < 1:
        raise ShapeError(f"split into {sections} parts", expected="at least 1")
    part = size // int(sections)
    if part * int(sections) != size:
        raise ShapeError(
            f"an axis of size {size} is not known to split into {sections} equal parts",
            expected="a size that the number of parts divides",
            remedy="give a list of the positions at which to cut",
        )
    return [slice_axis(value, position, part * number, part) for number in range(int(sections))]


# --- pad -------------------------------------------------------------------------------------------------------------


@record
class PadAttrs:
    """For each axis: new items before, after, and between each two of the operand's. None is negative."""

    low: tuple[Size, ...]
    high: tuple[Size, ...]
    interior: tuple[int, ...]


def _padded_size(low: Size, size: Size, high: Size, interior: int) -> Size:
    return low + size + high + (interior * positive_part(size - 1) if interior else 0)


def _infer_pad(attrs: PadAttrs, x: TensorType, value: TensorType) -> TensorType:
    if value.dtype != x.dtype or value.rank:
        raise DTypeError(
            f"a padding value of type {value} for an operand of dtype {x.dtype}",
            expected=f"a scalar, {x.dtype}[]",
            remedy=f"convert it with .astype('{x.dtype}'), and index or reduce it to a scalar",
        )
    if {len(attrs.low), len(attrs.high), len(attrs.interior)} != {x.rank}:
        raise ShapeError(
            f"widths {attrs.low} and {attrs.high} for an operand of {x.rank} axes", expected="one entry for each axis"
        )
    widths = (*attrs.low, *attrs.high, *attrs.interior)
    if any(isinstance(width, int) and width < 0 for width in widths):
        raise ShapeError(f"negative widths {attrs.low}, {attrs.high}, {attrs.interior}", expected="at least 0")
    return TensorType(x.dtype, tuple(map(_padded_size, attrs.low, x.shape, attrs.high, attrs.interior)))


def _own_items(attrs: PadAttrs, x: Shape) -> SliceAttrs:
    """Where the operand's items stand in the result."""
    return SliceAttrs(attrs.low, x, tuple(between + 1 for between in attrs.interior))


def _evaluate_pad(attrs: PadAttrs, x: Array, value: Array) -> Array:
    shape = map(_padded_size, attrs.low, x.shape, attrs.high, attrs.interior)
    result = np.full(tuple(shape), value, x.dtype)
    _evaluate_slice(_own_items(attrs, x.shape), result)[...] = x
    return result


def _pad_vjp(node: Node, g: Value) -> tuple[Value, Value]:
    x = node.inputs[0]
    attrs: PadAttrs = node.attrs
    own = _own_items(attrs, x.shape)
    inside = pad_axes(broadcast_to(constant(True), x.shape), constant(False), attrs.low, attrs.high, attrs.interior)
    return slice_axes(g, own.starts, own.sizes, own.steps), where(inside, constant(0, g.dtype), g)


def pad_axes(x: Value, value: Value, low: Sequence[Size], high: Sequence[Size], interior: Sequence[int]) -> Value:
    """``x`` with ``value`` before, after and between its items; widths must never be negative."""
    attrs = PadAttrs(tuple(low), tuple(high), tuple(interior))
    nothing = {*attrs.low, *attrs.high, *attrs.interior} <= {0}
    return x if nothing and value.dtype == x.dtype and not value.ndim else apply_one(PAD, (x, value), attrs)


PAD: OpDef = registry.add(
    OpDef(
        "pad",
        "The first operand surrounded by, and spread over, the second, a scalar.",
        infer=_infer_pad,
        evaluate=_evaluate_pad,
        vjp=_pad_vjp,
        attrs=PadAttrs,
        samples=lambda: [
            Sample(lambda x, v: pad(x, [(1, 2), (0, 3)], v), (sample_array(2, 3), np.array(0.5)), (0, 1)),
            Sample(lambda x, v: pad_axes(x, v, (1, 0), (0, 2), (2, 1)), (sample_array(2, 3), np.array(0.5)), (0, 1)),
            Sample(lambda x, v: pad_axes(x, v, (1, 0), (0, 2), (2, 1)), (sample_array(0, 1), np.array(0.5)), (0, 1)),
            Sample(lambda x: pad(x, [(-1, 2), (3, -2)]), (sample_array(2, 3),), (0,)),
            Sample(lambda x, v: apply_one(PAD, (x, v), PadAttrs((), (), ())), (np.array(1.5), np.array(0.5)), (0, 1)),
        ],
    )
)


def _pad_pairs(pad_width: Any, rank: int) -> list[tuple[Size, Size]]:
    """Widths before and after each axis, from NumPy's short forms."""
    entries = (pad_width,) if is_size(pad_width) else tuple(pad_width)
    rows = [entries] if all(map(is_size, entries)) and entries else [tuple(entry) for entry in entries]
    pairs = [row * 2 if len(row) == 1 else row for row in rows]
    pairs = pairs * rank if len(pairs) == 1 else pairs
    if len(pairs) != rank or any(len(pair) != 2 or not all(map(is_size, pair)) for pair in pairs):
        raise ShapeError(
            f"pad_width={pad_width!r} for an operand of {rank} axes",
            expected="an integer, a pair (before, after), or a list of one such pair for each axis",
        )
    return [(as_size(before), as_size(after)) for before, after in pairs]


def pad(x: Operand, pad_width: Any, value: Operand = 0.0) -> Value:
    """``x`` with ``value`` around it.

    Args:
        x: any shape.
        pad_width: the width before and after each axis, as in NumPy: an integer or Dim, a pair ``(before, after)`` for
            all axes, or a list of one pair for each axis. A negative width cuts items off; of a symbolic size, all that
            there are if they are fewer.
        value: a scalar; a Python number takes the dtype of ``x``.

    Raises:
        ShapeError: there is not one pair for each axis, or more is cut off than there is.
        DTypeError: the value is not a scalar of the dtype of ``x``.
    """
    operand = as_value(x)
    pairs = _pad_pairs(pad_width, operand.ndim)
    wide = [(positive_part(before), positive_part(after)) for before, after in pairs]
    starts = [low - before for (before, _), (low, _) in zip(pairs, wide, strict=True)]
    left = [
        size - start - (high - after)
        for (_, after), (_, high), start, size in zip(pairs, wide, starts, operand.shape, strict=True)
    ]
    if any(isinstance(size, int) and size < 0 for size in left):
        raise ShapeError(
            f"pad_width={pad_width!r} cuts more items off than shape {shape_text(operand.shape)} has",
            expected="negative widths whose sum is at most the size of their axis",
        )
    kept = slice_axes(operand, starts, [positive_part(size) for size in left])
    lows, highs = zip(*wide, strict=True) if wide else ((), ())
    return pad_axes(kept, as_value(value, operand.dtype), lows, highs, (0,) * operand.ndim)


# --- concatenate -----------------------------------------------------------------------------------------------------


@record
class ConcatenateAttrs:
    axis: int


def _infer_concatenate(attrs: ConcatenateAttrs, *types: TensorType) -> TensorType:
    first = types[0]
    shape = list(first.shape)
    for other in types[1:]:
        if other.dtype != first.dtype:
            raise DTypeError(f"parts of dtypes {first.dtype} and {other.dtype}", expected="one dtype")
        if other.rank != first.rank:
            raise _join_error(attrs, types)
        for axis, (own, more) in enumerate(zip(shape, other.shape, strict=True)):
            size = own + more if axis == attrs.axis else unify(own, more)
            if size is None:
                raise _join_error(attrs, types)
            shape[axis] = size
    return TensorType(first.dtype, tuple(shape))


def _join_error(attrs: ConcatenateAttrs, types: Sequence[TensorType]) -> ShapeError:
    return ShapeError(
        f"parts of shapes {' and '.join(shape_text(type.shape) for type in types)} on axis {attrs.axis}",
        expected="equal sizes on all other axes",
        remedy="reshape or slice them to fit, or give sizes that are always equal one name",
    )


def _concatenate_vjp(node: Node, g: Value) -> list[Value]:
    axis = node.attrs.axis
    parts = []
    start: Size = 0
    for value in node.inputs:
        parts.append(slice_axis(g, axis, start, value.shape[axis]))
        start = start + value.shape[axis]
    return parts


CONCATENATE = registry.add(
    OpDef(
        "concatenate",
        "The operands one after the other along an axis.",
        infer=_infer_concatenate,
        evaluate=lambda attrs, *parts: np.concatenate(parts, attrs.axis),
        vjp=_concatenate_vjp,
        attrs=ConcatenateAttrs,
        samples=lambda: [
            Sample(lambda *v: concatenate(v), (sample_array(2, 3), sample_array(1, 3)), (0, 1)),
            Sample(
                lambda *v: concatenate(v, -1),
                (sample_array(2, 3), sample_array(2, 1), sample_array(2, 0)),
                (0, 1, 2),
            ),
            Sample(lambda *v: concatenate(v, 1), (sample_array(0, 3), sample_array(0, 2)), (0, 1)),
            Sample(lambda *v: stack(v), (sample_array(), sample_array()), (0, 1)),
            Sample(lambda x: concatenate([x, x], 1), (sample_array(2, 3),), (0,)),
        ],
    )
)


def concatenate(values: Sequence[Operand], axis: int | None = 0) -> Value:
    """The values one after the other along an axis, promoted to one dtype.

    Args:
        values: at least one, of one shape but for their sizes on ``axis``.
        axis: an axis that they have; None to join the flat arrays.

    Raises:
        ShapeError: there are none, they are 0-d, their other sizes differ, or the axis does not exist.
    """
    given = [value if is_weak(value) else as_value(value) for value in values]
    if not given:
        raise ShapeError("concatenate of no values", expected="at least one")
    parts = promoted(given)
    if axis is None:
        parts, axis = tuple(flatten(value) for value in parts), 0
    position = normalize_axis(axis, parts[0].ndim)
    return parts[0] if len(parts) == 1 else apply_one(CONCATENATE, parts, ConcatenateAttrs(position))


def stack(values: Sequence[Operand], axis: int = 0) -> Value:
    """Values of one shape along a new axis, which stands at ``axis`` in the result.

    Raises:
        ShapeError: there are none, their shapes differ, or the axis does not exist in the result.
    """
    return concatenate([expand_dims(value, axis) for value in values], axis)


def _rolled(x: Value, shift: Size, axis: int) -> Value:
    size = x.shape[axis]
    divisor = maximum(size, 1)  # an empty axis has nothing to move
    moved = shift - shift // divisor * divisor
    parts = [slice_axis(x, axis, size - moved, moved), slice_axis(x, axis, 0, size - moved)]
    return x if moved == 0 else concatenate(parts, axis)


def roll(x: Operand, shift: Size | Sequence[Size], axis: int | Sequence[int] | None = None) -> Value:
    """``x`` with its items moved by ``shift`` along an axis; those moved beyond its end come in at its start.

    Args:
        x: any shape.
        shift: an integer or Dim, or one for each of several axes. Several shifts of one axis add up.
        axis: an axis or several; None to roll the flat array, whose shape is kept.

    Raises:
        ShapeError: an axis does not exist, or shifts and axes are not equally many.
    """
    value = as_value(x)
    if axis is None:
        return reshape(roll(flatten(value), shift, 0), value.shape)
    shifts = list(shift) if isinstance(shift, Iterable) else [shift]
    axes = axes_in_order(axis, value.ndim)
    count = max(len(shifts), len(axes))
    if {len(shifts), len(axes)} - {1, count} or not all(map(is_size, shifts)):
        raise ShapeError(f"shifts {shift} of axes {axis}", expected="one integer for each axis")
    for amount, position in zip(shifts * (count // len(shifts)), axes * (count // len(axes)), strict=True):
        value = _rolled(value, as_size(amount), position)
    return value
