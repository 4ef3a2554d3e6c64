"""The same items under other axes: reshape, transpose, broadcast_to, and what is composed of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.dims import Dim, Size, product
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.leaves import as_shape, as_value
from graphc.ir.types import Shape, TensorType, normalize_axes, normalize_axis, shape_text, unify
from graphc.record import record

__all__ = [
    "broadcast_to",
    "expand_dims",
    "flatten",
    "moveaxis",
    "ravel",
    "repeat",
    "reshape",
    "squeeze",
    "swapaxes",
    "tile",
    "transpose",
]


def is_size(entry: Any) -> TypeGuard[Size]:
    """Whether an argument is a size: an integer of Python's or NumPy's, not a bool, or a Dim."""
    return isinstance(entry, int | np.integer | Dim) and not isinstance(entry, bool)


def _entries(shape: Any) -> tuple[Any, ...]:
    return (shape,) if is_size(shape) or isinstance(shape, str) else tuple(shape)


def as_size(entry: Size | np.integer[Any]) -> Size:
    """A size with NumPy's integers turned into Python's, which do not overflow."""
    return entry if isinstance(entry, Dim) else int(entry)


def known_shape(shape: Size | str | Iterable[Size | str], what: str = "shape") -> Shape:
    """A shape from integers, Dims and names: one that can be known when the graph is run, so no size is left open.

    Raises:
        ShapeError: an entry is none of these.
    """
    entries = _entries(shape)
    if any(entry is None for entry in entries):
        raise ShapeError(
            f"the {what} {entries} holds None",
            expected="integers, Dims, or names of sizes",
            remedy="take the size from a value, as in x.shape[0]; only a placeholder's shape may hold None",
        )
    return as_shape(entries, what)


def axes_in_order(axes: int | Iterable[int], rank: int, what: str = "axis") -> list[int]:
    """Axes counted from the front, in the order in which they were given.

    Raises:
        ShapeError: an axis does not exist.
    """
    return [normalize_axis(axis, rank, what) for axis in (axes if isinstance(axes, Iterable) else (axes,))]


# --- reshape ---------------------------------------------------------------------------------------------------------


@record
class ShapeAttrs:
    shape: Shape


def _infer_reshape(attrs: ShapeAttrs, x: TensorType) -> TensorType:
    if unify(x.size, product(attrs.shape)) is None:
        raise ShapeError(
            f"shape {shape_text(x.shape)}, of {x.size} items, cannot become {shape_text(attrs.shape)},"
            f" of {product(attrs.shape)} items",
            expected="a shape of equally many items",
            remedy="write -1 for the one size that follows from the others",
        )
    return TensorType(x.dtype, attrs.shape)


def sample_array(*shape: int) -> Array:
    """Numbers from -2 to 2, for samples."""
    return np.random.default_rng(5).uniform(-2, 2, shape)


RESHAPE = registry.add(
    OpDef(
        "reshape",
        "The same items, in the same row-major order, in another shape.",
        infer=_infer_reshape,
        evaluate=lambda attrs, x: x.reshape(attrs.shape),
        vjp=lambda node, g: (reshape(g, node.inputs[0].shape),),
        attrs=ShapeAttrs,
        view=True,
        samples=lambda: [
            Sample(lambda x: reshape(x, (3, 2)), (sample_array(2, 3),), (0,)),
            Sample(lambda x: reshape(x, (-1,)), (sample_array(2, 1, 3),), (0,)),
            Sample(lambda x: reshape(x, (1, 1)), (sample_array(),), (0,)),
            Sample(lambda x: reshape(x, ()), (sample_array(1),), (0,)),
            Sample(lambda x: reshape(x, (3, 0)), (sample_array(0, 2),), (0,)),
        ],
    )
)


def _missing_size(x: Value, shape: Sequence[Any], known: Sequence[Size]) -> Size:
    """The size that -1 stands for."""
    items, rest = x.size, product(known)
    if rest != 0:
        size = items // rest
        if unify(size * rest, items) is not None:
            return size
    raise ShapeError(
        f"-1 in {shape_text(shape)} has no size that is known to fit: shape {shape_text(x.shape)} has {items} items,"
        f" the other sizes make {rest}",
        expected="a number of items that the product of the other sizes is known to divide",
        remedy="give all sizes" if rest == 0 else "check the other sizes",
    )


def reshape(x: Operand, shape: Size | str | Sequence[Size | str]) -> Value:
    """The same items, in the same row-major order, in another shape.

    Args:
        x: any shape.
        shape: integers, Dims or names; one size may be -1: what is left of the number of items.

    Raises:
        ShapeError: the number of items differs, or is not known to be equal; -1 stands twice or has no size.
    """
    value = as_value(x)
    entries = _entries(shape)
    missing = [place for place, entry in enumerate(entries) if isinstance(entry, int | np.integer) and entry == -1]
    if len(missing) > 1:
        raise ShapeError(f"-1 stands {len(missing)} times in the shape {entries}", expected="at most one -1")
    sizes = list(known_shape([entry for place, entry in enumerate(entries) if place not in missing]))
    for place in missing:
        sizes.insert(place, _missing_size(value, entries, sizes))
    return value if tuple(sizes) == value.shape else apply_one(RESHAPE, (value,), ShapeAttrs(tuple(sizes)))


def flatten(x: Operand, start_axis: int = 0, end_axis: int = -1) -> Value:
    """The axes from ``start_axis`` to ``end_axis``, both included, as one. A 0-d value becomes one of shape (1,).

    Raises:
        ShapeError: an axis does not exist, or the last comes before the first.
    """
    value = as_value(x)
    shape = value.shape or (1,)
    start = normalize_axis(start_axis, len(shape), "start_axis")
    end = normalize_axis(end_axis, len(shape), "end_axis")
    if end < start:
        raise ShapeError(f"start_axis {start_axis} comes after end_axis {end_axis}", expected="axes in rising order")
    return reshape(value, (*shape[:start], product(shape[start : end + 1]), *shape[end + 1 :]))


def ravel(x: Operand) -> Value:
    """All axes as one, in row-major order."""
    return flatten(x)


def expand_dims(x: Operand, axis: int | Iterable[int]) -> Value:
    """``x`` with axes of size 1 inserted, so that they stand at ``axis`` in the result.

    Raises:
        ShapeError: an axis does not exist in the result or stands twice.
    """
    value = as_value(x)
    given = tuple(axis) if isinstance(axis, Iterable) else (axis,)
    shape = list(value.shape)
    for position in normalize_axes(given, value.ndim + len(given)):
        shape.insert(position, 1)
    return reshape(value, shape)


def squeeze(x: Operand, axis: int | Iterable[int] | None = None) -> Value:
    """``x`` without the axes ``axis``, which have size 1; without all axes that are known to have size 1 for None.

    Raises:
        ShapeError: an axis does not exist, stands twice, or its size is not 1.
    """
    value = as_value(x)
    if axis is None:
        return reshape(value, [size for size in value.shape if size != 1])
    axes = normalize_axes(axis, value.ndim)
    for position in axes:
        if unify(value.shape[position], 1) is None:
            raise ShapeError(
                f"axis {position} of shape {shape_text(value.shape)} has size {value.shape[position]}",
                expected="size 1 on an axis that is squeezed",
                remedy="index it, as in x[0], or reduce over it, to remove an axis of another size",
            )
    return reshape(value, [size for position, size in enumerate(value.shape) if position not in axes])


# --- transpose -------------------------------------------------------------------------------------------------------


@record
class TransposeAttrs:
    """Axis i of the result is axis ``axes[i]`` of the operand."""

    axes: tuple[int, ...]


def _infer_transpose(attrs: TransposeAttrs, x: TensorType) -> TensorType:
    if sorted(attrs.axes) != list(range(x.rank)):
        raise ShapeError(
            f"axes {attrs.axes} for an operand of {x.rank} axes", expected=f"each of 0 to {x.rank - 1} once"
        )
    return TensorType(x.dtype, tuple(x.shape[axis] for axis in attrs.axes))


def _transpose_vjp(node: Node, g: Value) -> tuple[Value]:
    return (transpose(g, tuple(int(axis) for axis in np.argsort(node.attrs.axes))),)


TRANSPOSE: OpDef = registry.add(
    OpDef(
        "transpose",
        "The axes in another order.",
        infer=_infer_transpose,
        evaluate=lambda attrs, x: x.transpose(attrs.axes),
        vjp=_transpose_vjp,
        attrs=TransposeAttrs,
        view=True,
        samples=lambda: [
            Sample(transpose, (sample_array(2, 3),), (0,)),
            Sample(lambda x: transpose(x, 2, 0, 1), (sample_array(2, 1, 3),), (0,)),
            Sample(lambda x: transpose(x, (1, 0, 2)), (sample_array(0, 2, 3),), (0,)),
            Sample(lambda x: apply_one(TRANSPOSE, (x,), TransposeAttrs(())), (sample_array(),), (0,)),
        ],
    )
)


def transpose(x: Operand, *axes: Any) -> Value:
    """The axes in another order: axis i of the result is axis ``axes[i]`` of ``x``.

    Args:
        x: any shape.
        axes: one integer for each axis, or one tuple of them; none, or None, for the reverse order.

    Raises:
        ShapeError: an axis is missing, does not exist, or stands twice.
    """
    value = as_value(x)
    given = axes[0] if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], Iterable)) else axes or None
    unchanged = tuple(range(value.ndim))
    order = unchanged[::-1] if given is None else tuple(axes_in_order(given, value.ndim))
    return value if order == unchanged else apply_one(TRANSPOSE, (value,), TransposeAttrs(order))


def swapaxes(x: Operand, axis1: int, axis2: int) -> Value:
    """``x`` with two axes exchanged.

    Raises:
        ShapeError: an axis does not exist.
    """
    value = as_value(x)
    first, second = normalize_axis(axis1, value.ndim, "axis1"), normalize_axis(axis2, value.ndim, "axis2")
    order = list(range(value.ndim))
    order[first], order[second] = second, first
    return transpose(value, order)


def moveaxis(x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Value:
    """``x`` with the axes ``source`` moved to ``destination``; the others keep their order.

    Raises:
        ShapeError: an axis does not exist or stands twice, or there are more of one kind than of the other.
    """
    value = as_value(x)
    moved = axes_in_order(source, value.ndim, "source")
    places = axes_in_order(destination, value.ndim, "destination")
    if len(set(moved)) != len(places) or len(set(places)) != len(moved):
        raise ShapeError(
            f"source axes {source} and destinations {destination}",
            expected="equally many of both, each once",
        )
    order = [axis for axis in range(value.ndim) if axis not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return transpose(value, order)


# --- broadcast_to ----------------------------------------------------------------------------------------------------


def _infer_broadcast(attrs: ShapeAttrs, x: TensorType) -> TensorType:
    lead = len(attrs.shape) - x.rank
    fits = lead >= 0 and all(
        size == 1 or unify(size, target) is not None for size, target in zip(x.shape, attrs.shape[lead:], strict=True)
    )
    if not fits:
        raise ShapeError(
            f"shape {shape_text(x.shape)} does not broadcast to {shape_text(attrs.shape)}",
            expected="sizes, counted from the right, that are 1 or those of the target",
            remedy="insert an axis with [:, None] where a size should repeat",
        )
    return TensorType(x.dtype, attrs.shape)


BROADCAST_TO = registry.add(
    OpDef(
        "broadcast_to",
        "The operand, repeated along its axes of size 1 and along new leading axes.",
        infer=_infer_broadcast,
        evaluate=lambda attrs, x: np.broadcast_to(x, attrs.shape),
        vjp=lambda node, g: (g,),
        attrs=ShapeAttrs,
        view=True,
        samples=lambda: [
            Sample(lambda x: broadcast_to(x, (2, 3)), (sample_array(3),), (0,)),
            Sample(lambda x: broadcast_to(x, (4, 2, 3)), (sample_array(2, 1),), (0,)),
            Sample(lambda x: broadcast_to(x, (2, 2)), (sample_array(),), (0,)),
            Sample(lambda x: broadcast_to(x, (0, 3)), (sample_array(1, 3),), (0,)),
            Sample(lambda x: broadcast_to(x, (2, 0)), (sample_array(0),), (0,)),
        ],
    )
)


def broadcast_to(x: Operand, shape: Size | str | Iterable[Size | str]) -> Value:
    """``x`` in a larger shape: repeated along its axes of size 1 and along new leading axes.

    Raises:
        ShapeError: a size of ``x``, counted from the right, is neither 1 nor that of ``shape``.
    """
    value, target = as_value(x), known_shape(shape)
    return value if target == value.shape else apply_one(BROADCAST_TO, (value,), ShapeAttrs(target))


def tile(x: Operand, reps: Size | Sequence[Size]) -> Value:
    """``x`` repeated as a whole ``reps[i]`` times along axis i, counted from the last.

    Args:
        x: any shape; it gets leading axes of size 1 where ``reps`` has more entries than it has axes.
        reps: integers or Dims of at least 0.
    """
    value, counts = as_value(x), known_shape(reps, "number of repetitions")
    rank = max(value.ndim, len(counts))
    counts = (1,) * (rank - len(counts)) + counts
    shape = (1,) * (rank - value.ndim) + value.shape
    spread = reshape(value, [size for own in shape for size in (1, own)])
    repeated = broadcast_to(spread, [size for pair in zip(counts, shape, strict=True) for size in pair])
    return reshape(repeated, [count * size for count, size in zip(counts, shape, strict=True)])


def repeat(x: Operand, repeats: Size, axis: int | None = None) -> Value:
    """``x`` with every item along ``axis`` repeated ``repeats`` times in place; of the flat array for None.

    Raises:
        ShapeError: the axis does not exist, or ``repeats`` is negative.
        DTypeError: ``repeats`` is not one integer or Dim.
    """
    value = as_value(x)
    if not is_size(repeats):
        raise DTypeError(
            f"repeats={repeats!r} is a {type(repeats).__name__}",
            expected="one integer or Dim",
            remedy="for a count of its own for each item: gr.take(x, np.repeat(np.arange(n), counts), axis)",
        )
    if axis is None:
        return repeat(flatten(value), repeats, 0)
    position = normalize_axis(axis, value.ndim)
    (count,) = known_shape(repeats, "number of repetitions")
    before, size, after = value.shape[:position], value.shape[position], value.shape[position + 1 :]
    repeated = broadcast_to(expand_dims(value, position + 1), (*before, size, count, *after))
    return reshape(repeated, (*before, size * count, *after))
