"""Interpolation of images and signals to other sizes, with PyTorch's arguments and places."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir import dims
from graphc.ir.dims import Size, exact_quotient
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import add, divide, floor, floor_divide, multiply, subtract
from graphc.ir.ops.choice import maximum, minimum, where
from graphc.ir.ops.comparison import equal
from graphc.ir.ops.conversion import cast
from graphc.ir.ops.creation import iota
from graphc.ir.ops.index import take
from graphc.ir.ops.leaves import as_value, constant, dim_size
from graphc.ir.ops.shape import known_shape, repeat, reshape
from graphc.ir.types import DType, float32, int64, shape_text

__all__ = ["interpolate"]

Mode: TypeAlias = Literal["nearest", "linear", "bilinear", "trilinear"]

_AXES = {"nearest": (1, 2, 3), "linear": (1,), "bilinear": (2,), "trilinear": (3,)}
_EXACT = 4096
"""Scale factors whose denominators are so small give the sizes of symbolic axes without rounding."""


def interpolate(
    x: Operand,
    size: Size | Sequence[Size] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: Mode = "nearest",
    align_corners: bool = False,
) -> Value:
    """``x`` with other sizes of all axes but the first two, as ``torch.nn.functional.interpolate``.

    Item ``i`` of the result is taken from the place ``i * size / new size`` for "nearest", rounded down; else from
    ``(i + 0.5) * size / new size - 0.5``, or from ``i * (size - 1) / (new size - 1)`` for ``align_corners``, between
    the items next to it. Given a scale factor, its inverse stands for ``size / new size``.

    Args:
        x: (batch, channels, *sizes) with one to three sizes.
        size: the new sizes: an integer or Dim for all of these axes, or for each.
        scale_factor: instead of ``size``, what the sizes are multiplied by (and rounded down): for all axes, or each.
        mode: "nearest" for any dtype; "linear" for one axis, "bilinear" for two, "trilinear" for three, of floats.
        align_corners: whether, for the linear modes, the first and last items keep their places; else the edges do.

    Raises:
        ShapeError: not one of ``size`` and ``scale_factor`` is given, or not one for each axis; a size is less than 1;
            the mode does not exist or is not for so many axes; the new size of a symbolic axis is not known exactly.
        DTypeError: the operand of a linear mode is not float.
    """
    value = as_value(x)
    if mode not in _AXES or value.ndim - 2 not in _AXES[mode]:
        raise ShapeError(
            f"interpolate: mode={mode!r} for an operand of shape {shape_text(value.shape)}",
            expected="(batch, channels, *sizes) with 1 to 3 sizes for 'nearest', 1 for 'linear', 2 for 'bilinear'"
            " and 3 for 'trilinear'",
        )
    if align_corners and mode == "nearest":
        raise ShapeError("interpolate: align_corners with mode='nearest'", expected="a linear mode")
    if mode != "nearest" and not value.dtype.is_float:
        raise DTypeError(
            f"interpolate: an operand of dtype {value.dtype} with mode={mode!r}",
            expected="float32 or float64",
            remedy="convert it with .astype, or take mode='nearest'",
        )
    if 0 in value.shape[2:]:
        raise ShapeError(
            f"interpolate: an operand of shape {shape_text(value.shape)}", expected="at least one item on each axis"
        )
    # The last axis costs most for an item, so it comes first, while the others are still small.
    for axis, (count, step) in reversed(list(enumerate(_targets(value.shape[2:], size, scale_factor), 2))):
        if count == value.shape[axis]:
            continue
        if mode == "nearest":
            value = _nearest(value, axis, count, step)
        else:
            value = _linear(value, axis, _places_between(value, axis, count, step, align_corners))
    return value


def _targets(
    sizes: Sequence[Size], size: Size | Sequence[Size] | None, scale_factor: float | Sequence[float] | None
) -> list[tuple[Size, float | None]]:
    """For each axis its new size, and the distance of places where a scale factor gives it."""
    if (size is None) == (scale_factor is None):
        raise ShapeError(
            f"interpolate: size={size!r} and scale_factor={scale_factor!r}",
            expected="one of them, and None for the other",
        )
    given = size if size is not None else scale_factor
    entries: tuple[Any, ...] = tuple(given) if isinstance(given, Iterable) else (given,) * len(sizes)
    if len(entries) != len(sizes):
        what = "size" if size is not None else "scale_factor"
        raise ShapeError(
            f"interpolate: {what}={given!r} for {len(sizes)} axes", expected="one number, or one for each axis"
        )
    counts: tuple[Size, ...]
    steps: tuple[float | None, ...]
    if size is not None:
        counts, steps = known_shape(entries, "size of interpolate"), (None,) * len(entries)
    else:
        counts = tuple(_scaled(own, float(factor)) for own, factor in zip(sizes, entries, strict=True))
        steps = tuple(1.0 / float(factor) for factor in entries)
    if any(isinstance(count, int) and count < 1 for count in counts):
        raise ShapeError(f"interpolate: new sizes {shape_text(counts)}", expected="at least 1")
    return list(zip(counts, steps, strict=True))


def _scaled(size: Size, factor: float) -> Size:
    """``size * factor``, rounded down."""
    if not (math.isfinite(factor) and factor > 0):
        raise ShapeError(f"interpolate: scale_factor {factor}", expected="a positive number")
    if isinstance(size, int):
        return math.floor(size * factor)
    numerator, denominator = float(factor).as_integer_ratio()
    if denominator > _EXACT:
        raise ShapeError(
            f"interpolate: scale_factor {factor} for an axis of the symbolic size '{size}'",
            expected="a whole number, or a fraction of a small power of two",
            remedy="give the new size instead, as in size=size * 7 // 10",
        )
    return size * numerator // denominator


def _numbers(count: Size, dtype: DType) -> Value:
    """0, 1, ... as a literal where the count is known, so that what is computed from them is known too."""
    return constant(np.arange(count), dtype) if isinstance(count, int) else iota(count, dtype)


def _distance(size: Size, count: Size, step: float, dtype: DType) -> Value:
    """The distance of places for a scale factor: 1 where that leaves the size as it is."""
    apart = constant(step, dtype)
    return apart if isinstance(size, int) else where(equal(dim_size(count), dim_size(size)), 1.0, apart)


def _nearest(value: Value, axis: int, count: Size, step: float | None) -> Value:
    size = value.shape[axis]
    times = exact_quotient(count, size)
    # Where rounding makes a factor double the size it is taken as 2, as in PyTorch.
    if isinstance(times, int) and (step is None or times == 2 or step == 1.0 / times):
        return repeat(value, times, axis)
    if step is None:
        place = floor_divide(multiply(_numbers(count, int64), dim_size(size)), dim_size(count))
    else:
        apart = _distance(size, count, step, float32)
        apart = apart if isinstance(size, int) else where(equal(dim_size(count), dim_size(size * 2)), 0.5, apart)
        place = cast(floor(multiply(_numbers(count, float32), apart)), int64)
        place = minimum(place, dim_size(size - 1))
    return take(value, place, axis)


def _places_between(value: Value, axis: int, count: Size, step: float | None, align_corners: bool) -> Value:
    """Where the items of the result lie along the axis, in the dtype of the value."""

    def number(size: Size) -> Value:
        return cast(dim_size(size), value.dtype)

    size, numbers = value.shape[axis], _numbers(count, value.dtype)
    if align_corners:
        return multiply(numbers, divide(number(size - 1), number(dims.maximum(count - 1, 1))))
    apart = divide(number(size), number(count)) if step is None else _distance(size, count, step, value.dtype)
    return maximum(subtract(multiply(add(numbers, 0.5), apart), 0.5), 0.0)


def _linear(value: Value, axis: int, place: Value) -> Value:
    """Between the items before and after each place."""
    last = dim_size(value.shape[axis] - 1)
    before = minimum(cast(floor(place), int64), last)
    share = minimum(subtract(place, cast(before, value.dtype)), 1.0)
    share = reshape(share, (place.shape[0], *(1,) * (value.ndim - 1 - axis)))
    after = minimum(add(before, 1), last)
    return add(multiply(take(value, before, axis), subtract(1.0, share)), multiply(take(value, after, axis), share))
