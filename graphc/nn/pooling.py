"""Pooling and interpolation as modules, named as in ``torch.nn``; each applies the function that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.ir import ops
from graphc.ir.dims import Size
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.convolution import Numbers
from graphc.ir.ops.interpolate import Mode
from graphc.ir.ops.pooling import OutputSize
from graphc.nn.module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Upsample",
]


@dataclass(eq=False)
class _MaxPool(Module):
    kernel_size: Numbers
    stride: Numbers | None = None
    padding: Numbers = 0
    dilation: Numbers = 1
    ceil_mode: bool = False


class MaxPool1d(_MaxPool):
    """The largest item of each window along the last axis: see :func:`graphc.max_pool1d`."""

    def forward(self, x: Operand) -> Value:
        """The maxima."""
        return ops.max_pool1d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class MaxPool2d(_MaxPool):
    """The largest item of each window along the last two axes: see :func:`graphc.max_pool2d`."""

    def forward(self, x: Operand) -> Value:
        """The maxima."""
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class MaxPool3d(_MaxPool):
    """The largest item of each window along the last three axes: see :func:`graphc.max_pool3d`."""

    def forward(self, x: Operand) -> Value:
        """The maxima."""
        return ops.max_pool3d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


@dataclass(eq=False)
class AvgPool1d(Module):
    """The mean of each window along the last axis: see :func:`graphc.avg_pool1d`."""

    kernel_size: Numbers
    stride: Numbers | None = None
    padding: Numbers = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def forward(self, x: Operand) -> Value:
        """The means."""
        return ops.avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


@dataclass(eq=False)
class AvgPool2d(Module):
    """The mean of each window along the last two axes: see :func:`graphc.avg_pool2d`."""

    kernel_size: Numbers
    stride: Numbers | None = None
    padding: Numbers = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: float | None = None

    def forward(self, x: Operand) -> Value:
        """The means."""
        return ops.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


@dataclass(eq=False)
class AvgPool3d(Module):
    """The mean of each window along the last three axes: see :func:`graphc.avg_pool3d`."""

    kernel_size: Numbers
    stride: Numbers | None = None
    padding: Numbers = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: float | None = None

    def forward(self, x: Operand) -> Value:
        """The means."""
        return ops.avg_pool3d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


@dataclass(eq=False)
class AdaptiveAvgPool1d(Module):
    """The mean of each of ``output_size`` bins of the last axis: see :func:`graphc.adaptive_avg_pool1d`."""

    output_size: OutputSize

    def forward(self, x: Operand) -> Value:
        """The means."""
        return ops.adaptive_avg_pool1d(x, self.output_size)


@dataclass(eq=False)
class AdaptiveAvgPool2d(Module):
    """The mean of each of ``output_size`` bins of the last two axes: see :func:`graphc.adaptive_avg_pool2d`."""

    output_size: OutputSize

    def forward(self, x: Operand) -> Value:
        """The means."""
        return ops.adaptive_avg_pool2d(x, self.output_size)


@dataclass(eq=False)
class AdaptiveMaxPool1d(Module):
    """The largest item of each of ``output_size`` bins of the last axis: see :func:`graphc.adaptive_max_pool1d`."""

    output_size: OutputSize

    def forward(self, x: Operand) -> Value:
        """The maxima."""
        return ops.adaptive_max_pool1d(x, self.output_size)


@dataclass(eq=False)
class AdaptiveMaxPool2d(Module):
    """The largest item of each of ``output_size`` bins of the last two axes: see :func:`graphc.adaptive_max_pool2d`."""

    output_size: OutputSize

    def forward(self, x: Operand) -> Value:
        """The maxima."""
        return ops.adaptive_max_pool2d(x, self.output_size)


@dataclass(eq=False)
class Upsample(Module):
    """Images or signals of another size: see :func:`graphc.interpolate`."""

    size: Size | Sequence[Size] | None = None
    scale_factor: float | Sequence[float] | None = None
    mode: Mode = "nearest"
    align_corners: bool = False

    def forward(self, x: Operand) -> Value:
        """The resized images."""
        return ops.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)
