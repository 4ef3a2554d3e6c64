"""Pooling of images and signals, with PyTorch's arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dims import Size, ceil_divide, minimum
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import divide, multiply
from graphc.ir.ops.convolution import Numbers
from graphc.ir.ops.creation import ones
from graphc.ir.ops.leaves import as_value, constant
from graphc.ir.ops.pool import Bins, PoolAttrs, Windows, max_pool, sum_pool
from graphc.ir.ops.shape import known_shape, reshape
from graphc.ir.ops.statistics import mean
from graphc.ir.ops.window import numbers_for_axes, places
from graphc.ir.types import DType, shape_text

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "global_avg_pool",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]

OutputSize: TypeAlias = Size | Sequence[Size | None] | None
"""One size for all pooled axes, or one for each; None keeps an axis as it is."""


# --- windows and bins ------------------------------------------------------------------------------------------------


def _images(x: Operand, rank: int, name: str) -> Value:
    value = as_value(x)
    if value.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"{name}: an operand of shape {shape_text(value.shape)}, which has {value.ndim} axes",
            expected=f"{rank + 2} axes: batch, channels and {rank} that are pooled; or {rank + 1}, without a batch",
            remedy="insert or join axes with gr.reshape",
        )
    if not value.dtype.is_float:
        raise DTypeError(
            f"{name}: an operand of dtype {value.dtype}",
            expected="float32 or float64",
            remedy="convert it with .astype",
        )
    return value


def _windows(
    value: Value,
    rank: int,
    kernel_size: Numbers,
    stride: Numbers | None,
    padding: Numbers,
    dilation: Numbers,
    ceil_mode: bool,
    name: str,
) -> Windows:
    kernel = numbers_for_axes(kernel_size, rank, f"{name}: kernel_size", 1)
    strides = kernel if stride is None else numbers_for_axes(stride, rank, f"{name}: stride", 1)
    widths = numbers_for_axes(padding, rank, f"{name}: padding")
    dilations = numbers_for_axes(dilation, rank, f"{name}: dilation", 1)
    if any(2 * width > window for width, window in zip(widths, kernel, strict=True)):
        raise ShapeError(
            f"{name}: padding={padding!r} with kernel_size={kernel_size!r}",
            expected="at most half of the window, so that every window has items",
            remedy="take a smaller padding, or pad with gr.pad before",
        )
    inputs = value.shape[-rank:]
    outputs = []
    for size, window, step, width, gap in zip(inputs, kernel, strides, widths, dilations, strict=True):
        count = places(size + 2 * width, window, step, gap)
        if ceil_mode:
            # One more where a part of a window is left, unless it would start behind the last item.
            count = ceil_divide(size + 2 * width - gap * (window - 1) - 1, step) + 1
            count = minimum(count, (size + width - 1) // step + 1)
        outputs.append(count)
    return Windows(inputs, tuple(outputs), kernel, strides, widths, dilations)


def _bins(value: Value, rank: int, output_size: OutputSize, name: str) -> PoolAttrs:
    """Bins, as windows where they are known to be alike."""
    given = tuple(output_size) if isinstance(output_size, Iterable) else (output_size,) * rank
    if len(given) != rank:
        raise ShapeError(
            f"{name}: output_size={output_size!r} for {rank} axes", expected=f"a size or None, or {rank} of them"
        )
    inputs = value.shape[-rank:]
    sizes = [size if count is None else count for size, count in zip(inputs, given, strict=True)]
    outputs = known_shape(sizes, f"output_size of {name}")
    kernel = [_bin_size(size, count) for size, count in zip(inputs, outputs, strict=True)]
    alike = tuple(size for size in kernel if size is not None)
    if len(alike) < rank:
        return Bins(inputs, outputs)
    return Windows(inputs, outputs, alike, alike, (0,) * rank, (1,) * rank)


def _bin_size(size: Size, count: Size) -> int | None:
    """How many items each bin has, where that is known to be one number, and not 0."""
    if size == count:
        return 1
    if isinstance(size, int) and isinstance(count, int) and count and size and size % count == 0:
        return size // count
    return None


def _mean_of_windows(value: Value, attrs: PoolAttrs, padded: bool = False) -> Value:
    """Sums divided by the numbers of items, ``padded``: with those that padding adds."""
    rank = len(attrs.inputs)
    total = sum_pool(value, attrs)
    items, others = 1, []
    for axis in range(rank):
        count = _items_along(attrs, axis, padded, value.dtype)
        if isinstance(count, int):
            items *= count
        else:
            others.append(reshape(count, (count.shape[0], *(1,) * (rank - 1 - axis))))
    divisor: Operand = items
    for other in others:
        divisor = multiply(divisor, other)
    return divide(total, divisor)


def _items_along(attrs: PoolAttrs, axis: int, padded: bool, dtype: DType) -> int | Value:
    """How many items windows have along an axis: a number if it is one for all, else an array."""
    size, count = attrs.inputs[axis], attrs.outputs[axis]
    along: PoolAttrs = Bins((size,), (count,))
    if isinstance(attrs, Windows):
        window, step, low = attrs.kernel[axis], attrs.strides[axis], attrs.padding[axis]
        if padded:
            size, low = size + 2 * low, 0
        if low == 0 and count == places(size, window, step, 1):
            return window
        along = Windows((size,), (count,), (window,), (step,), (low,), (1,))
    each = constant(np.ones(size), dtype) if isinstance(size, int) else ones((size,), dtype)
    return sum_pool(each, along)


# --- maxima ----------------------------------------------------------------------------------------------------------


def _max_pool(
    rank: int,
    x: Operand,
    kernel_size: Numbers,
    stride: Numbers | None,
    padding: Numbers,
    dilation: Numbers,
    ceil_mode: bool,
) -> Value:
    name = f"max_pool{rank}d"
    value = _images(x, rank, name)
    values, _ = max_pool(value, _windows(value, rank, kernel_size, stride, padding, dilation, ceil_mode, name))
    return values


def max_pool1d(
    x: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
) -> Value:
    """The largest item of each window that slides along the last axis; see :func:`max_pool2d`."""
    return _max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    x: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
) -> Value:
    """The largest item of each window that slides along the last two axes; NaN where there is one.

    The first of equal items gets the whole gradient, and the last of several NaN. As in PyTorch.

    Args:
        x: float, (batch, channels, height, width), or without the batch.
        kernel_size: items of a window along both axes, or along each.
        stride: the distance from one window to the next; None for ``kernel_size``.
        padding: how many places before and after both axes, or each of them, windows may cover; they count as -inf.
        dilation: the distance from one item of a window to the next.
        ceil_mode: whether what is left behind the last window has a window too, which then has fewer items.

    Returns:
        (batch, channels, *windows), where an axis has
        ``(size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride + 1`` windows, rounded down; for
        ``ceil_mode`` rounded up, but without a window that would start behind the last item.

    Raises:
        ShapeError: the operand has another number of axes, or no room for a window; a window, stride or dilation is
            less than 1; the padding is negative or more than half of the window.
        DTypeError: the operand is not float, or an argument that should be an integer is not.
    """
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(
    x: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
) -> Value:
    """The largest item of each window that slides along the last three axes; see :func:`max_pool2d`."""
    return _max_pool(3, x, kernel_size, stride, padding, dilation, ceil_mode)


def _adaptive_max_pool(rank: int, x: Operand, output_size: OutputSize) -> Value:
    name = f"adaptive_max_pool{rank}d"
    value = _images(x, rank, name)
    values, _ = max_pool(value, _bins(value, rank, output_size, name))
    return values


def adaptive_max_pool1d(x: Operand, output_size: OutputSize) -> Value:
    """The largest item of each of ``output_size`` bins of the last axis; see :func:`adaptive_max_pool2d`."""
    return _adaptive_max_pool(1, x, output_size)


def adaptive_max_pool2d(x: Operand, output_size: OutputSize) -> Value:
    """The largest item of each bin, where the last two axes are divided into ``output_size`` bins.

    Bins, arguments and errors are those of :func:`adaptive_avg_pool2d`, NaN and equal items those of
    :func:`max_pool2d`.
    """
    return _adaptive_max_pool(2, x, output_size)


# --- means -----------------------------------------------------------------------------------------------------------


def _avg_pool(
    rank: int,
    x: Operand,
    kernel_size: Numbers,
    stride: Numbers | None,
    padding: Numbers,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: float | None = None,
) -> Value:
    name = f"avg_pool{rank}d"
    value = _images(x, rank, name)
    windows = _windows(value, rank, kernel_size, stride, padding, 1, ceil_mode, name)
    if divisor_override is None:
        return _mean_of_windows(value, windows, count_include_pad)
    if divisor_override == 0:
        raise ShapeError(f"{name}: divisor_override=0", expected="a number that is not 0, or None")
    return divide(sum_pool(value, windows), divisor_override)


def avg_pool1d(
    x: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    """The mean of each window that slides along the last axis; see :func:`avg_pool2d`."""
    return _avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    x: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: float | None = None,
) -> Value:
    """The mean of each window that slides along the last two axes, as in PyTorch.

    Args:
        x: float, (batch, channels, height, width), or without the batch.
        kernel_size: items of a window along both axes, or along each.
        stride: the distance from one window to the next; None for ``kernel_size``.
        padding: zeros before and after both axes, or each of them.
        ceil_mode: whether what is left behind the last window has a window too; places behind the padding do not
            count.
        count_include_pad: whether the zeros of the padding count as items.
        divisor_override: what sums are divided by; None for the number of items.

    Returns:
        (batch, channels, *windows), where an axis has ``(size + 2 * padding - kernel_size) / stride + 1`` windows,
        rounded down; for ``ceil_mode`` rounded up, but without a window that would start behind the last item.

    Raises:
        ShapeError: the operand has another number of axes, or no room for a window; a window or stride is less than 1;
            the padding is negative or more than half of the window; the divisor is 0.
        DTypeError: the operand is not float, or an argument that should be an integer is not.
    """
    return _avg_pool(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    x: Operand,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: float | None = None,
) -> Value:
    """The mean of each window that slides along the last three axes; see :func:`avg_pool2d`."""
    return _avg_pool(3, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive_avg_pool(rank: int, x: Operand, output_size: OutputSize) -> Value:
    name = f"adaptive_avg_pool{rank}d"
    value = _images(x, rank, name)
    bins = _bins(value, rank, output_size, name)
    if set(bins.outputs) == {1}:
        return mean(value, range(value.ndim - rank, value.ndim), keepdims=True)
    return _mean_of_windows(value, bins)


def adaptive_avg_pool1d(x: Operand, output_size: OutputSize) -> Value:
    """The mean of each of ``output_size`` bins of the last axis; see :func:`adaptive_avg_pool2d`."""
    return _adaptive_avg_pool(1, x, output_size)


def adaptive_avg_pool2d(x: Operand, output_size: OutputSize) -> Value:
    """The mean of each bin, where the last two axes are divided into ``output_size`` bins.

    Bin ``i`` of ``n`` has the items from ``floor(i * size / n)`` to before ``ceil((i + 1) * size / n)``, as in PyTorch:
    where ``n`` does not divide the size, neighbours share an item.

    Args:
        x: float, (batch, channels, height, width), or without the batch.
        output_size: the number of bins along both axes, or along each: integers or Dims; None for as many as items.

    Returns:
        (batch, channels, *output_size).

    Raises:
        ShapeError: the operand has another number of axes, or one without items; there is not one size for each axis.
        DTypeError: the operand is not float.
    """
    return _adaptive_avg_pool(2, x, output_size)


def global_avg_pool(x: Operand, keepdims: bool = False) -> Value:
    """The mean over all axes but the first two: (batch, channels, ...) to (batch, channels).

    Args:
        x: at least three axes. Of bool and integers, the mean is float64.
        keepdims: whether the other axes stay, with size 1.

    Raises:
        ShapeError: the operand has fewer axes.
    """
    value = as_value(x)
    if value.ndim < 3:
        raise ShapeError(
            f"global_avg_pool: an operand of shape {shape_text(value.shape)}",
            expected="(batch, channels, ...): at least 3 axes",
        )
    return mean(value, range(2, value.ndim), keepdims)
