"""Means, variances and the logarithm of summed exponentials, composed of simpler operations."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir import dims
from graphc.ir.dims import Size
from graphc.ir.graph import Value
from graphc.ir.operators import Axes, Operand
from graphc.ir.ops.arithmetic import add, divide, subtract
from graphc.ir.ops.choice import where
from graphc.ir.ops.comparison import equal, isfinite
from graphc.ir.ops.conversion import cast, float_dtype
from graphc.ir.ops.differentiation import stop_gradient
from graphc.ir.ops.leaves import as_value, dim_size
from graphc.ir.ops.reduce import max, sum
from graphc.ir.ops.shape import squeeze
from graphc.ir.ops.transcendental import exp, log, sqrt
from graphc.ir.types import DType, float64, normalize_axes

__all__ = ["logsumexp", "mean", "std", "var"]


def size_value(size: Size, dtype: DType) -> Operand:
    """A size as an operand of arithmetic in ``dtype``: a weak number where it is known, else its run-time value."""
    return size if isinstance(size, int) else cast(dim_size(size), dtype)


def _as_float(x: Operand) -> Value:
    value = as_value(x)
    return value if value.dtype.is_float else cast(value, float64)


def _count(value: Value, axes: Sequence[int]) -> Size:
    return dims.product(value.shape[axis] for axis in axes)


def mean(x: Operand, axis: Axes = None, keepdims: bool = False) -> Value:
    """The mean over axes; NaN of nothing.

    Args:
        x: any shape and dtype. Of bool and integers, the mean is float64.
        axis: one axis, several, or None for all.
        keepdims: whether the reduced axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist or stands twice.
    """
    value = _as_float(x)
    axes = normalize_axes(axis, value.ndim)
    return divide(sum(value, axes, keepdims), size_value(_count(value, axes), value.dtype))


def var(x: Operand, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Value:
    """The variance over axes: the sum of squared deviations from the mean, divided by the count less ``ddof``.

    Args:
        x: any shape and dtype. Of bool and integers, the variance is float64.
        axis: one axis, several, or None for all.
        ddof: 0 for the variance of the items, 1 for the unbiased estimate of what they are a sample of. Where it
            leaves no count, the result is NaN or infinite.
        keepdims: whether the reduced axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist or stands twice.
    """
    value = _as_float(x)
    axes = normalize_axes(axis, value.ndim)
    deviation = subtract(value, mean(value, axes, keepdims=True))
    count = dims.maximum(_count(value, axes) - ddof, 0)
    return divide(sum(deviation * deviation, axes, keepdims), size_value(count, value.dtype))


def std(x: Operand, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Value:
    """The standard deviation over axes: the square root of :func:`var`. Its derivative is 0 where it is 0.

    Args:
        x: any shape and dtype. Of bool and integers, the deviation is float64.
        axis: one axis, several, or None for all.
        ddof: as for :func:`var`.
        keepdims: whether the reduced axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist or stands twice.
    """
    variance = var(x, axis, ddof, keepdims)
    constant = equal(variance, 0)
    return where(constant, 0.0, sqrt(where(constant, 1.0, variance)))


def logsumexp(x: Operand, axis: Axes = None, keepdims: bool = False) -> Value:
    """The logarithm of the sum of exponentials over axes, without overflow; -inf of nothing but -inf.

    Args:
        x: any shape and dtype; at least one item along each reduced axis.
        axis: one axis, several, or None for all.
        keepdims: whether the reduced axes stay, with size 1.

    Raises:
        ShapeError: an axis does not exist, stands twice, or has no items.
    """
    value = as_value(x)
    value = cast(value, float_dtype(value.dtype))
    axes = normalize_axes(axis, value.ndim)
    largest = stop_gradient(max(value, axes, keepdims=True))
    shift = where(isfinite(largest), largest, 0.0)
    total = sum(exp(subtract(value, shift)), axes, keepdims=True)
    nothing = equal(total, 0)  # only -inf was summed: no derivative may come out of it as NaN
    result = add(where(nothing, float("-inf"), log(where(nothing, 1.0, total))), shift)
    return result if keepdims else squeeze(result, axes)
