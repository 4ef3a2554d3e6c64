"""Where the items of a value lie: a buffer, an offset and a stride for each axis, all in items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Literal, TypeAlias

from graphc.ir.dims import Size, bind, exact_quotient, product, symbols
from graphc.ir.graph import Value
from graphc.ir.types import DType, Shape
from graphc.record import record

__all__ = [
    "Buffer",
    "View",
    "broadcast_view",
    "contiguous_strides",
    "memory_order",
    "nominal",
    "reshape_view",
    "slice_view",
    "transpose_view",
    "whole",
    "window_view",
]

Place: TypeAlias = Literal["input", "variable", "carry", "constant", "size", "output", "arena"]


@record(eq=False)
class Buffer:
    """A piece of memory.

    Attributes:
        dtype: of its items.
        items: how many there are.
        place: what it belongs to: an argument, a variable, the state of a loop, a constant, the value of a symbolic
            size, a result that is handed out, or the arena.
        source: the placeholder, variable, constant or ``dim_size`` value that it holds, or the value computed into it.
        position: for inputs, outputs and the state of a loop, their place among the arguments, results or updates.
    """

    dtype: DType
    items: Size
    place: Place = "arena"
    source: Value | None = field(default=None, repr=False)
    position: int = -1


@record(eq=False)
class View:
    """An arrangement of a buffer's items as an array: item ``(i, j, ...)`` is at ``offset + i * strides[0] + ...``."""

    buffer: Buffer
    shape: Shape
    strides: tuple[Size, ...]
    offset: Size = 0

    @property
    def contiguous(self) -> bool:
        """Whether the items lie in order, without gaps; axes of size 1 may have any stride."""
        expected: Size = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size == 1:
                continue
            if stride != expected:
                return False
            expected = expected * size
        return True

    @property
    def is_whole(self) -> bool:
        """Whether it is its buffer's items in order, all of them."""
        return self.contiguous and self.offset == 0 and product(self.shape) == self.buffer.items

    @property
    def is_dense(self) -> bool:
        """Whether it is its buffer's items, each once, with its axes in any order."""
        return transpose_view(self, memory_order([self.strides], self.shape)).is_whole

    def lies_like(self, other: View) -> bool:
        """Whether both have one shape and, along axes of more than one item, one stride."""
        pairs = zip(self.shape, self.strides, other.strides, strict=True)
        return self.shape == other.shape and all(size == 1 or a == b for size, a, b in pairs)


_NOMINAL = 67
"""What an open size counts for: a middling batch, and unlikely to equal a size that is known."""


def nominal(size: Size) -> int:
    """A size as a number, to compare it with others."""
    return size if isinstance(size, int) else bind(size, {symbol.name: _NOMINAL for symbol in symbols(size)})


def memory_order(strides: Sequence[Sequence[Size]], shape: Shape) -> tuple[int, ...]:
    """The axes from the outermost to the innermost: those with larger strides first.

    Each row of ``strides`` is of one operand; where one has none along an axis, because it is repeated, the next is
    asked. Axes of one item, and those that no operand tells apart, stay where they are. This is NumPy's order "K".
    """
    rows = [[abs(nominal(stride)) for stride in row] for row in strides]
    result: list[int] = []
    for axis, size in enumerate(shape):
        place = len(result)
        for earlier in reversed(range(len(result)) if size != 1 else ()):
            pairs = [(row[axis], row[result[earlier]]) for row in rows if shape[result[earlier]] != 1]
            decided = next(((mine, its) for mine, its in pairs if mine and its and mine != its), None)
            if decided is not None:
                if decided[0] < decided[1]:
                    break
                place = earlier
        result.insert(place, axis)
    return tuple(result)


def contiguous_strides(shape: Shape) -> tuple[Size, ...]:
    """Strides of an array whose last axis is dense."""
    strides: list[Size] = []
    step: Size = 1
    for size in reversed(shape):
        strides.append(step)
        step = step * size
    return tuple(reversed(strides))


def whole(buffer: Buffer, shape: Shape, order: Sequence[int] | None = None) -> View:
    """All of a buffer as an array of ``shape``; ``order`` gives its axes from the outermost to the innermost."""
    order = range(len(shape)) if order is None else order
    strides = dict(zip(order, contiguous_strides(tuple(shape[axis] for axis in order)), strict=True))
    return View(buffer, shape, tuple(strides[axis] for axis in range(len(shape))))


def transpose_view(view: View, axes: Sequence[int]) -> View:
    """The axes in another order."""
    return replace(view, shape=tuple(view.shape[a] for a in axes), strides=tuple(view.strides[a] for a in axes))


def broadcast_view(view: View, shape: Shape) -> View:
    """Repeated along new axes and along axes of size 1."""
    extra = len(shape) - len(view.shape)
    strides = tuple(
        stride if size != 1 or wanted == 1 else 0
        for size, stride, wanted in zip(view.shape, view.strides, shape[extra:], strict=True)
    )
    return replace(view, shape=shape, strides=(0,) * extra + strides)


def slice_view(view: View, starts: Sequence[Size], shape: Shape, steps: Sequence[int]) -> View:
    """Every ``step``-th item from ``start`` on, along each axis."""
    offset = view.offset
    for start, stride in zip(starts, view.strides, strict=True):
        offset = offset + start * stride
    strides = tuple(stride * step for stride, step in zip(view.strides, steps, strict=True))
    return View(view.buffer, shape, strides, offset)


def window_view(
    view: View, axes: Sequence[int], strides: Sequence[int], dilations: Sequence[int], shape: Shape
) -> View:
    """Windows that slide along ``axes``: the places of a window along these, then an axis of its items for each."""
    moved = list(view.strides)
    for axis, stride in zip(axes, strides, strict=True):
        moved[axis] = moved[axis] * stride
    inside = [view.strides[axis] * dilation for axis, dilation in zip(axes, dilations, strict=True)]
    return View(view.buffer, shape, (*moved, *inside), view.offset)


def reshape_view(view: View, shape: Shape) -> View | None:
    """The items in the same order in another shape; None where strides cannot express it and a copy is needed."""
    if view.contiguous or 0 in view.shape:
        return View(view.buffer, shape, contiguous_strides(shape), view.offset)
    old = [(size, stride) for size, stride in zip(view.shape, view.strides, strict=True) if size != 1]
    new = [size for size in shape if size != 1]
    strides: list[Size] = []
    i = j = 0
    while i < len(old) and j < len(new):
        first, last = (i, j), (i + 1, j + 1)
        left, right = old[i][0], new[j]
        while left != right:
            if last[1] < len(new) and exact_quotient(left, right) is not None:
                right = right * new[last[1]]
                last = (last[0], last[1] + 1)
            elif last[0] < len(old) and exact_quotient(right, left) is not None:
                left = left * old[last[0]][0]
                last = (last[0] + 1, last[1])
            else:
                return None
        for (_, outer), (size, inner) in zip(old[first[0] : last[0]], old[first[0] + 1 : last[0]], strict=False):
            if outer != inner * size:
                return None
        dense = old[last[0] - 1][1]
        strides += [dense * stride for stride in contiguous_strides(tuple(new[first[1] : last[1]]))]
        i, j = last
    if i < len(old) or j < len(new):
        return None
    remaining = iter(strides)
    return View(view.buffer, shape, tuple(1 if size == 1 else next(remaining) for size in shape), view.offset)
