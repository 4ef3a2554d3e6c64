"""Indexing with square brackets: NumPy's basic keys, and one array of integers among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Size
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.assemble import slice_axes
from graphc.ir.ops.bounds import known_nonnegative, resolve_slice
from graphc.ir.ops.index import as_indices, take
from graphc.ir.ops.leaves import as_value, dim_size
from graphc.ir.ops.shape import as_size, is_size, moveaxis, reshape

__all__ = ["index"]


def _entry(key: Any) -> Any:
    """One entry of a key: a slice, ``...``, None, a size, or a value of integer indices."""
    if key is None or key is Ellipsis or isinstance(key, slice):
        return key
    if is_size(key):
        return as_size(key)
    if isinstance(key, Value | np.ndarray | list | tuple):
        value = as_indices(key)
        if value.dtype.is_integer:
            return value
    found = f"a value of type {value.type}" if isinstance(key, Value | np.ndarray | list | tuple) else repr(key)
    raise DTypeError(
        f"an index is {found}",
        expected="integers, slices, ..., None, or one array of integers",
        remedy=(
            "gr.where(condition, x, y) chooses by a condition; gr.take(x, indices, axis) and"
            " gr.gather(x, indices, axis) choose by integers"
        ),
    )


def _expanded(key: Any, rank: int) -> list[Any]:
    """The entries of a key, with ``...`` written out, so that each axis has an entry."""
    entries = [_entry(entry) for entry in (key if isinstance(key, tuple) else (key,))]
    dots = [position for position, entry in enumerate(entries) if entry is Ellipsis]
    if len(dots) > 1:
        raise ShapeError(f"... stands {len(dots)} times in an index", expected="at most once")
    used = len([entry for entry in entries if entry is not None and entry is not Ellipsis])
    if used > rank:
        raise ShapeError(
            f"{used} indices for an array of {rank} axes", expected=f"at most {rank}", remedy="leave some out"
        )
    place = dots[0] if dots else len(entries)
    return [*entries[:place], *[slice(None)] * (rank - used), *entries[place + 1 :]]


def _static_position(position: Size, size: Size, axis: int) -> Size | None:
    """A position counted from the front, if it is known to exist; None if only the run can tell.

    Raises:
        ShapeError: it is known not to exist.
    """
    start = size + position if isinstance(position, int) and position < 0 else position
    if known_nonnegative(start) and known_nonnegative(size - start - 1):
        return start
    if isinstance(start, int) and isinstance(size, int):
        raise ShapeError(
            f"index {position} is outside axis {axis}, whose size is {size}",
            expected=f"an integer from {-size} to {size - 1}" if size else "no integer: the axis is empty",
        )
    return None


def index(x: Operand, key: Any) -> Value:
    """Basic indexing as in NumPy: ``x[key]``.

    An integer is checked while the graph is built where the size of its axis is known, else at run time, when it may
    also be a Dim, as in ``x[n - 1]``. A Dim as the bound of a slice counts from the front, and from the end if all its
    terms are negative, as in ``x[-n:]``.

    Args:
        x: any shape.
        key: integers, Dims, slices, ``...`` and None, or a tuple of these; and at most one array, list or value of
            integers, for which :func:`take` is called on its axis.

    Raises:
        ShapeError: there are more entries than axes, or an integer is outside its axis.
        DTypeError: the key has an entry of another kind.
        IndexFault: at run time, an index is outside its axis.
    """
    value = as_value(x)
    entries = _expanded(key, value.ndim)
    if len([entry for entry in entries if isinstance(entry, Value) and entry.ndim]) > 1:
        raise DTypeError(
            "an index has several arrays",
            expected="at most one",
            remedy="gr.take one axis after the other, or gr.gather with indices of the shape of the result",
        )
    starts: list[Size] = []
    sizes: list[Size] = []
    steps: list[int] = []
    taken: list[tuple[int, Value]] = []
    shape: list[Size] = []
    for entry in entries:
        axis = len(starts)
        if entry is None:
            shape.append(1)
            continue
        start: Size = 0
        size, step = value.shape[axis], 1
        if isinstance(entry, slice):
            start, size, step = resolve_slice(entry, value.shape[axis])
            shape.append(size)
        elif isinstance(entry, Value):
            taken.append((axis, entry))
            shape += entry.shape
        else:
            position = _static_position(entry, value.shape[axis], axis)
            if position is None:
                taken.append((axis, dim_size(entry)))
            else:
                start, size = position, 1
        starts.append(start)
        sizes.append(size)
        steps.append(step)
    value = slice_axes(value, starts, sizes, steps)
    for axis, indices in reversed(taken):
        value = take(value, indices, axis)
    return _moved_to_front(reshape(value, shape), entries)


def _moved_to_front(value: Value, entries: Sequence[Any]) -> Value:
    """As NumPy has it, the axes of an array index come first if another index stands apart from it."""
    advanced = [place for place, entry in enumerate(entries) if not (entry is None or isinstance(entry, slice))]
    arrays = [place for place in advanced if isinstance(entries[place], Value) and entries[place].ndim]
    if not arrays or advanced[-1] - advanced[0] + 1 == len(advanced):
        return value
    before = len([entry for entry in entries[: arrays[0]] if entry is None or isinstance(entry, slice)])
    count = entries[arrays[0]].ndim
    return moveaxis(value, range(before, before + count), range(count))
