"""Convolutions of images and signals, with PyTorch's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from graphc.errors import ShapeError
from graphc.ir.dims import Dim, Size
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import add
from graphc.ir.ops.assemble import pad_axes
from graphc.ir.ops.conv import ConvAttrs, conv, conv_transpose
from graphc.ir.ops.conversion import common_dtype, float_dtype, promoted
from graphc.ir.ops.leaves import constant
from graphc.ir.ops.shape import reshape
from graphc.ir.ops.window import numbers_for_axes, whole_number
from graphc.ir.types import shape_text, unify

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

Numbers: TypeAlias = int | Sequence[int]
"""One number for all spatial axes, or one for each."""


def paddings(
    padding: Numbers | str, kernel: Sequence[Size], stride: Sequence[int], dilation: Sequence[int], name: str
) -> tuple[tuple[int, int], ...]:
    """Zeros before and after each spatial axis. Where "same" needs an odd number of them, one more stands after.

    Raises:
        ShapeError: a number is negative, or there is not one for each axis; the string is neither "same" nor "valid";
            for "same", a stride is not 1 or a window's size is symbolic.
        DTypeError: a number is not an integer.
    """
    if not isinstance(padding, str):
        return tuple((width, width) for width in numbers_for_axes(padding, len(stride), f"{name}: padding"))
    if padding not in ("same", "valid"):
        raise ShapeError(
            f"{name}: padding={padding!r}", expected="'same', 'valid', an integer, or one for each spatial axis"
        )
    if padding == "valid":
        return ((0, 0),) * len(stride)
    if any(step != 1 for step in stride):
        raise ShapeError(
            f"{name}: padding='same' with stride={tuple(stride)}",
            expected="a stride of 1, which keeps the size",
            remedy="give the padding as integers",
        )
    pairs = []
    for window, spread in zip(kernel, dilation, strict=False):  # a weight of another rank is refused later
        if isinstance(window, Dim):
            raise ShapeError(
                f"{name}: padding='same' for a window of the symbolic size '{window}'",
                expected="windows of known size",
                remedy="give the padding as integers",
            )
        total = spread * (window - 1)
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)


def _operands(x: Operand, weight: Operand, bias: Operand | None) -> tuple[Value, ...]:
    """The operands in the float dtype that they meet in."""
    given = (x, weight) if bias is None else (x, weight, bias)
    return promoted(given, float_dtype(common_dtype(given)))


def _with_bias(result: Value, bias: Sequence[Value], name: str) -> Value:
    """``bias`` holds one value or none."""
    for value in bias:
        if value.ndim != 1 or unify(value.shape[0], result.shape[1]) is None:
            raise ShapeError(
                f"{name}: a bias of shape {shape_text(value.shape)} for {result.shape[1]} output channels",
                expected=f"shape {shape_text(result.shape[1:2])}",
            )
        result = add(result, reshape(value, (value.shape[0], *(1,) * (result.ndim - 2))))
    return result


def _convolve(
    rank: int,
    x: Operand,
    weight: Operand,
    bias: Operand | None,
    stride: Numbers,
    padding: Numbers | str,
    dilation: Numbers,
    groups: int,
) -> Value:
    name = f"conv{rank}d"
    image, kernel, *rest = _operands(x, weight, bias)
    strides = numbers_for_axes(stride, rank, f"{name}: stride", 1)
    dilations = numbers_for_axes(dilation, rank, f"{name}: dilation", 1)
    parts = whole_number(groups, f"{name}: groups", 1)
    pairs = paddings(padding, kernel.shape[2:], strides, dilations, name)
    return conv(image, kernel, ConvAttrs(strides, pairs, dilations, parts), *rest)


def _convolve_transposed(
    rank: int,
    x: Operand,
    weight: Operand,
    bias: Operand | None,
    stride: Numbers,
    padding: Numbers,
    output_padding: Numbers,
    groups: int,
    dilation: Numbers,
) -> Value:
    name = f"conv_transpose{rank}d"
    image, kernel, *rest = _operands(x, weight, bias)
    strides = numbers_for_axes(stride, rank, f"{name}: stride", 1)
    dilations = numbers_for_axes(dilation, rank, f"{name}: dilation", 1)
    parts = whole_number(groups, f"{name}: groups", 1)
    widths = numbers_for_axes(padding, rank, f"{name}: padding")
    extra = numbers_for_axes(output_padding, rank, f"{name}: output_padding")
    if any(more >= max(step, spread) for more, step, spread in zip(extra, strides, dilations, strict=True)):
        raise ShapeError(
            f"{name}: output_padding={output_padding!r} with stride={stride!r} and dilation={dilation!r}",
            expected="less than the stride or the dilation",
            remedy="pad the result with gr.pad",
        )
    sizes = [
        (size - 1) * step - 2 * width + spread * (window - 1) + more + 1
        for size, step, width, spread, window, more in zip(
            image.shape[2:], strides, widths, dilations, kernel.shape[2:], extra, strict=False
        )
    ]
    # The convolution of so large a result has more windows than the input has items: they hold zeros.
    highs = [more // step for more, step in zip(extra, strides, strict=True)]
    if any(highs) and image.ndim == rank + 2:
        image = pad_axes(image, constant(0, image.dtype), (0,) * (rank + 2), (0, 0, *highs), (0,) * (rank + 2))
    attrs = ConvAttrs(strides, tuple((width, width) for width in widths), dilations, parts)
    return _with_bias(conv_transpose(image, kernel, attrs, sizes), rest, name)


def conv1d(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Value:
    """Convolution over one axis: (batch, in_channels, length) to (batch, out_channels, places).

    The weight has shape (out_channels, in_channels / groups, window). For the rest see :func:`conv2d`.
    """
    return _convolve(1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Value:
    """Convolution over two axes: at each place of a window, the sum of products of its items with the weight.

    As everywhere in deep learning, the weight is not turned over: it is the cross-correlation. Formula and arguments
    are those of ``torch.nn.functional.conv2d``.

    Args:
        x: (batch, in_channels, height, width).
        weight: (out_channels, in_channels / groups, *window).
        bias: (out_channels,), added to every place; None for none.
        stride: the distance from one place of the window to the next, for both axes or for each.
        padding: zeros before and after both axes, or each of them; "valid" for none; "same" for as many as keep the
            size, where for an odd number one more stands after than before.
        dilation: the distance from one item of the window to the next, for both axes or for each.
        groups: into how many parts the channels are divided, each of which is convolved by itself; as many as there
            are input channels for a depthwise convolution.

    Returns:
        (batch, out_channels, *places), where an axis has
        ``(size + padding before and after - dilation * (window - 1) - 1) // stride + 1`` places. The dtype is the one
        that the operands meet in; integers are converted to a float dtype.

    Raises:
        ShapeError: an operand has another number of axes; the weight is for another number of channels; the groups do
            not divide the channels; a window is larger than the padded axis; a stride, a dilation or ``groups`` is
            less than 1; a padding is negative or an unknown string; "same" with a stride other than 1.
        DTypeError: an argument that should be an integer is not.
    """
    return _convolve(2, x, weight, bias, stride, padding, dilation, groups)


def conv3d(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Value:
    """Convolution over three axes: (batch, in_channels, *sizes) to (batch, out_channels, *places).

    The weight has shape (out_channels, in_channels / groups, *window). For the rest see :func:`conv2d`.
    """
    return _convolve(3, x, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Value:
    """The transpose of :func:`conv1d`: (batch, in_channels, length) to (batch, out_channels, size).

    The weight has shape (in_channels, out_channels / groups, window). For the rest see :func:`conv_transpose2d`.
    """
    return _convolve_transposed(1, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Value:
    """The transpose of :func:`conv2d` by its input: every item adds the weight, times the item, where it was read.

    It is what the gradient of a convolution does with a cotangent, and turns few places into many. Formula and
    arguments are those of ``torch.nn.functional.conv_transpose2d``.

    Args:
        x: (batch, in_channels, height, width).
        weight: (in_channels, out_channels / groups, *window).
        bias: (out_channels,), added to every item of the result; None for none.
        stride: the distance in the result from one window to the next, for both axes or for each.
        padding: how much is cut off before and after both axes of the result, or each of them: what the convolution
            would pad.
        output_padding: items that the result has after each axis beyond the smallest whose convolution has the size of
            ``x``; less than the stride or the dilation.
        groups: into how many parts the channels are divided.
        dilation: the distance from one item of the window to the next, for both axes or for each.

    Returns:
        (batch, out_channels, *sizes), where an axis has the size
        ``(size - 1) * stride - 2 * padding + dilation * (window - 1) + output_padding + 1``. The dtype is the one that
        the operands meet in; integers are converted to a float dtype.

    Raises:
        ShapeError: an operand has another number of axes; the weight is for another number of channels; the groups do
            not divide the channels; more is cut off than there is; a stride, a dilation or ``groups`` is less than 1;
            a padding is negative; an output padding is too large.
        DTypeError: an argument that should be an integer is not.
    """
    return _convolve_transposed(2, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    x: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Value:
    """The transpose of :func:`conv3d`: (batch, in_channels, *sizes) to (batch, out_channels, *sizes).

    The weight has shape (in_channels, out_channels / groups, *window). For the rest see :func:`conv_transpose2d`.
    """
    return _convolve_transposed(3, x, weight, bias, stride, padding, output_padding, groups, dilation)
