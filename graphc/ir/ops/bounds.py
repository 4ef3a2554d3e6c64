"""The bounds of slices, as sizes: symbolic ones are clamped to their axis by expressions, as NumPy clamps numbers."""

from __future__ import annotations

from typing import Any

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Dim, Size, ceil_divide, maximum
from graphc.ir.ops.shape import is_size

__all__: list[str] = []


def known_nonnegative(size: Size) -> bool:
    """Whether a size is at least 0 whatever the values of its symbols."""
    return maximum(size, 0) == size


def positive_part(size: Size) -> Size:
    """``max(size, 0)``; over ``n - 1`` for ``1 - n``, so that the lengths of ``x[1:]`` and ``x[:-1]`` are equal."""
    if isinstance(size, Dim) and size.terms[0][1] < 0:
        return size + maximum(-size, 0)
    return maximum(size, 0)


def larger(left: Size, right: Size) -> Size:
    """The larger of two sizes, in the terms of :func:`positive_part`."""
    return right + positive_part(left - right)


def smaller(left: Size, right: Size) -> Size:
    """The smaller of two sizes, in the terms of :func:`positive_part`."""
    return left - positive_part(left - right)


def _bound(bound: Any, size: Size, what: str) -> tuple[Size, bool]:
    """A slice's start or stop counted from the front, not clamped, and whether it was given from the end."""
    if isinstance(bound, Dim):
        from_end = known_nonnegative(-bound)
        return (size + bound if from_end else bound), from_end
    if not is_size(bound):
        raise DTypeError(
            f"a slice's {what} is {bound!r}",
            expected="an integer, a Dim or None",
            remedy="for bounds that are computed in the graph: gr.take(x, start + gr.arange(length), axis)",
        )
    position = int(bound)
    return (size + position if position < 0 else position), position < 0


def resolve_slice(key: slice, size: Size) -> tuple[Size, Size, int]:
    """Start, length and step of a slice of an axis, as :meth:`slice.indices` gives them for integers.

    A Dim as a bound counts from the front, and from the end if all its terms are negative, as in ``-n``. The start of
    an empty slice is arbitrary.

    Raises:
        DTypeError: a bound is not an integer, a Dim or None; the step is not an integer.
        ShapeError: the step is 0.
    """
    given = 1 if key.step is None else key.step
    if not is_size(given) or isinstance(given, Dim):
        raise DTypeError(f"a slice's step is {given!r}", expected="an integer or None")
    step = int(given)
    if step == 0:
        raise ShapeError("a slice's step is 0", expected="an integer that is not 0")
    if step > 0:
        start, from_end = (0, False) if key.start is None else _bound(key.start, size, "start")
        stop, stop_from_end = (size, False) if key.stop is None else _bound(key.stop, size, "stop")
        first = start if known_nonnegative(start) else positive_part(start)
        limit = stop if key.stop is None or stop_from_end else smaller(stop, size)
        ordered = (key.stop is None and from_end) or (first == 0 and known_nonnegative(stop))
        length = limit - first if ordered else positive_part(limit - first)
        return first, ceil_divide(length, step), step
    start, from_end = (size - 1, True) if key.start is None else _bound(key.start, size, "start")
    stop = -1 if key.stop is None else larger(_bound(key.stop, size, "stop")[0], -1)
    first = start if from_end else smaller(start, size - 1)
    return first, ceil_divide(positive_part(first - stop), -step), step
