"""Layers that are convolutions, and their transposes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from graphc.errors import ShapeError
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops import (
    Variable,
    as_value,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    parameter,
)
from graphc.ir.ops.convolution import Numbers, paddings
from graphc.ir.ops.window import numbers_for_axes, whole_number
from graphc.ir.types import DType
from graphc.nn.init import Initializer, Rng, as_generator, fixed_sizes, initial, uniform, zeros
from graphc.nn.module import Module

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


class _Convolution(Module):
    """What all of the layers share: their parameters and how these start, and what they accept."""

    _rank: ClassVar[int]
    _function: ClassVar[Callable[..., Value]]

    padding: str | tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers,
        groups: int,
        bias: bool,
        dilation: Numbers,
        dtype: DType | str | type,
        init: Initializer | None,
        rng: Rng,
        transposed: bool,
    ) -> None:
        name = type(self).__name__
        self.in_channels, self.out_channels = fixed_sizes(in_channels, out_channels)
        self.kernel_size = numbers_for_axes(kernel_size, self._rank, f"{name}: kernel_size", 1)
        self.stride = numbers_for_axes(stride, self._rank, f"{name}: stride", 1)
        self.dilation = numbers_for_axes(dilation, self._rank, f"{name}: dilation", 1)
        self.groups = whole_number(groups, f"{name}: groups", 1)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ShapeError(
                f"{name}: {self.in_channels} input channels and {self.out_channels} output channels"
                f" in {self.groups} groups",
                expected=f"numbers of channels that {self.groups} divides",
                remedy="take other numbers of channels, or another number of groups",
            )
        channels = (self.in_channels, self.out_channels) if transposed else (self.out_channels, self.in_channels)
        shape = (channels[0], channels[1] // self.groups, *self.kernel_size)
        rng = as_generator(rng)
        bound = 1.0 / math.sqrt(max(math.prod(shape[1:]), 1))
        default = partial(uniform, low=-bound, high=bound)
        self.weight = parameter(initial(init or default, shape, rng), "weight", dtype)
        self.bias: Variable | None = None
        if bias:
            self.bias = parameter(initial(zeros if init else default, (self.out_channels,), rng), "bias", dtype)

    def _checked(self, x: Operand) -> Value:
        value = as_value(x)
        rank = self._rank
        if value.ndim != rank + 2 or (isinstance(value.shape[1], int) and value.shape[1] != self.in_channels):
            raise ShapeError(
                f"{self!r} was called with {value.type}",
                expected=f"{rank + 2} axes: (batch, {self.in_channels} channels, {rank} spatial)",
                remedy="insert an axis for a batch of one with x[None]"
                if value.ndim == rank + 1
                else "make the layer with in_channels=the size of the second axis, or move the channels there with"
                " gr.moveaxis",
            )
        return value

    def settings(self) -> str:
        """The channels and the window, and what is not as by default."""
        zero, one = (0,) * self._rank, (1,) * self._rank
        optional = {
            "stride": (self.stride, one),
            "padding": (self.padding, zero),
            "output_padding": (getattr(self, "output_padding", zero), zero),
            "dilation": (self.dilation, one),
            "groups": (self.groups, 1),
            "bias": (self.bias is not None, True),
        }
        parts = [f"{self.in_channels}", f"{self.out_channels}", f"kernel_size={self.kernel_size}"]
        parts += [f"{name}={value!r}" for name, (value, default) in optional.items() if value != default]
        return ", ".join(parts)


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: DType | str | type = "float32",
        init: Initializer | None = None,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, groups, bias, dilation, dtype, init, rng, transposed=False
        )
        pairs = paddings(padding, self.kernel_size, self.stride, self.dilation, type(self).__name__)
        self.padding = padding if isinstance(padding, str) else tuple(low for low, _ in pairs)

    def forward(self, x: Operand) -> Value:
        """The layer's result."""
        return self._function(
            self._checked(x), self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class _ConvTranspose(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers = 0,
        output_padding: Numbers = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Numbers = 1,
        dtype: DType | str | type = "float32",
        init: Initializer | None = None,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, groups, bias, dilation, dtype, init, rng, transposed=True
        )
        name = type(self).__name__
        self.padding = numbers_for_axes(padding, self._rank, f"{name}: padding")
        self.output_padding = numbers_for_axes(output_padding, self._rank, f"{name}: output_padding")

    def forward(self, x: Operand) -> Value:
        """The layer's result."""
        return self._function(
            self._checked(x),
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class Conv1d(_Conv):
    """:func:`graphc.conv1d`: float (batch, in_channels, length) to (batch, out_channels, places).

    The arguments are those of :class:`Conv2d`; the weight is (out_channels, in_channels / groups, kernel_size).
    """

    _rank = 1
    _function = staticmethod(conv1d)


class Conv2d(_Conv):
    """:func:`graphc.conv2d`: float (batch, in_channels, height, width) to (batch, out_channels, *places).

    Args:
        in_channels: the size of the second axis of the input.
        out_channels: the size of the second axis of the result.
        kernel_size: the window: one size for both axes, or one for each.
        stride: the distance from one place of the window to the next.
        padding: zeros before and after the axes; "valid" for none; "same" for as many as keep the size.
        dilation: the distance from one item of the window to the next.
        groups: into how many parts the channels are divided; ``in_channels`` for a depthwise convolution.
        bias: whether a bias is added.
        dtype: float32 or float64.
        init: how the weight starts, from :mod:`graphc.nn.init`; the bias then starts at zero. Without it, both start
            uniform between plus and minus ``1/sqrt(in_channels / groups * items of the window)``, as in PyTorch.
        rng: where the start's random numbers come from; see :func:`graphc.nn.init.seed`.

    Attributes:
        weight: (out_channels, in_channels / groups, *kernel_size), as in PyTorch.
        bias: (out_channels,), or None.

    Raises:
        ShapeError: a size is not an integer, or is too small; the groups do not divide the channels; the padding is an
            unknown string, or "same" with a stride other than 1; when called, the input has another number of axes or
            channels, or is smaller than the window.
        DTypeError: a number is not an integer.
    """

    _rank = 2
    _function = staticmethod(conv2d)


class Conv3d(_Conv):
    """:func:`graphc.conv3d`: float (batch, in_channels, *sizes) to (batch, out_channels, *places), three axes each.

    The arguments are those of :class:`Conv2d`; the weight is (out_channels, in_channels / groups, *kernel_size).
    """

    _rank = 3
    _function = staticmethod(conv3d)


class ConvTranspose1d(_ConvTranspose):
    """:func:`graphc.conv_transpose1d`: float (batch, in_channels, length) to (batch, out_channels, size).

    The arguments are those of :class:`ConvTranspose2d`; the weight is (in_channels, out_channels / groups,
    kernel_size).
    """

    _rank = 1
    _function = staticmethod(conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """:func:`graphc.conv_transpose2d`: float (batch, in_channels, height, width) to (batch, out_channels, *sizes).

    Args:
        in_channels: the size of the second axis of the input.
        out_channels: the size of the second axis of the result.
        kernel_size: the window: one size for both axes, or one for each.
        stride: the distance in the result from one window to the next.
        padding: how much is cut off before and after the axes of the result.
        output_padding: items that the result has beyond the smallest size; less than the stride or the dilation.
        groups: into how many parts the channels are divided.
        bias: whether a bias is added.
        dilation: the distance from one item of the window to the next.
        dtype: float32 or float64.
        init: how the weight starts, from :mod:`graphc.nn.init`; the bias then starts at zero. Without it, both start
            uniform between plus and minus ``1/sqrt(out_channels / groups * items of the window)``, as in PyTorch.
        rng: where the start's random numbers come from; see :func:`graphc.nn.init.seed`.

    Attributes:
        weight: (in_channels, out_channels / groups, *kernel_size), as in PyTorch.
        bias: (out_channels,), or None.

    Raises:
        ShapeError: a size is not an integer, or is too small; the groups do not divide the channels; when called, the
            input has another number of axes or channels, more is cut off than there is, or the output padding is too
            large.
        DTypeError: a number is not an integer.
    """

    _rank = 2
    _function = staticmethod(conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """:func:`graphc.conv_transpose3d`: float (batch, in_channels, *sizes) to (batch, out_channels, *sizes).

    The arguments are those of :class:`ConvTranspose2d`; the weight is (in_channels, out_channels / groups,
    *kernel_size).
    """

    _rank = 3
    _function = staticmethod(conv_transpose3d)
