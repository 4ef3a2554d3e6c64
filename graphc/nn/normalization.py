"""Layers that normalize: over a batch, over each instance, over the last axes, over groups of channels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import ops
from graphc.ir.dims import product
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops import Variable
from graphc.ir.ops.creation import DTypeLike
from graphc.ir.ops.normalization import check_groups
from graphc.nn.init import fixed_sizes
from graphc.nn.module import Module

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "RMSNorm",
]


def _scale(shape: Sequence[int], wanted: bool, dtype: DTypeLike) -> Variable | None:
    return ops.parameter(np.ones(shape), "weight", dtype) if wanted else None


def _offset(shape: Sequence[int], wanted: bool, dtype: DTypeLike) -> Variable | None:
    return ops.parameter(np.zeros(shape), "bias", dtype) if wanted else None


def _check_sizes(layer: Module, x: Value, expected: Sequence[int], first: int) -> None:
    """Check the sizes of the axes from ``first`` on."""
    found = x.shape[first:][: len(expected)]
    if len(found) < len(expected) or any(
        isinstance(size, int) and size != wanted for size, wanted in zip(found, expected, strict=True)
    ):
        raise ShapeError(
            f"{layer!r} was called with {x.type}",
            expected=f"axes of the sizes {', '.join(map(str, expected))}, from axis {first} on",
            remedy="make the layer with the sizes of the input",
        )


class _ChannelNorm(Module):
    """What batch and instance normalization share: parameters and running statistics of each channel."""

    _ranks: ClassVar[tuple[int, ...]]
    """How many axes the input may have."""
    _kept: ClassVar[tuple[int, ...]]
    """The axes that items have statistics of their own along."""

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        dtype: DTypeLike,
    ) -> None:
        shape = fixed_sizes(num_features)
        (self.num_features,) = shape
        self.eps = eps
        self.momentum = momentum
        self.weight = _scale(shape, affine, dtype)
        self.bias = _offset(shape, affine, dtype)
        self.running_mean: Variable | None = None
        self.running_var: Variable | None = None
        self.num_batches_tracked: Variable | None = None
        if track_running_stats:
            self.running_mean = ops.variable(np.zeros(shape), "running_mean", dtype)
            self.running_var = ops.variable(np.ones(shape), "running_var", dtype)
            self.num_batches_tracked = ops.variable(0, "num_batches_tracked", "int64")

    @abstractmethod
    def _by_own_statistics(self, x: Value) -> Value:
        """The input, normalized by its own statistics."""

    def forward(self, x: Operand) -> Value:
        """The layer's result."""
        value = ops.as_value(x)
        if value.ndim not in self._ranks:
            raise ShapeError(
                f"{self!r} was called with {value.type}",
                expected=" or ".join(map(str, self._ranks)) + " axes",
                remedy="use the layer for inputs of this rank, or reshape the input",
            )
        _check_sizes(self, value, (self.num_features,), 1)
        mean, variance = self.running_mean, self.running_var
        if mean is None or variance is None:
            return self._by_own_statistics(value)
        if self.training:
            return ops.with_updates(self._by_own_statistics(value), self._updates(value, mean, variance))
        return ops.batch_norm(value, self.weight, self.bias, mean, variance, eps=self.eps)

    def _updates(self, x: Value, running_mean: Variable, running_var: Variable) -> dict[Variable, Value]:
        """The next running statistics. Fewer than two items say nothing of a variance: they change nothing."""
        count = self.num_batches_tracked
        assert count is not None
        items = ops.dim_size(product(size for axis, size in enumerate(x.shape) if axis not in self._kept))
        several = ops.dim_size(x.size) > ops.dim_size(product(x.shape[axis] for axis in self._kept))
        mean, variance = ops.batch_statistics(x, self._kept)
        unbiased = variance * ops.cast(items / (items - 1), variance.dtype)
        factor = self.momentum if self.momentum is not None else 1.0 / ops.cast(count + 1, running_mean.dtype)
        next_values: dict[Variable, Value] = {count: count + 1}
        instances = range(len(self._kept) - 1)
        for running, found in ((running_mean, mean), (running_var, unbiased)):
            estimate = ops.cast(ops.mean(found, instances), running.dtype)
            next_values[running] = (1.0 - factor) * running + factor * estimate
        return {variable: ops.where(several, value, variable) for variable, value in next_values.items()}

    def settings(self) -> str:
        """The arguments of the constructor."""
        return (
            f"{self.num_features}, eps={self.eps:g}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.running_mean is not None}"
        )


class _BatchNorm(_ChannelNorm):
    _kept = (1,)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def _by_own_statistics(self, x: Value) -> Value:
        return ops.batch_norm(x, self.weight, self.bias, eps=self.eps)


class BatchNorm1d(_BatchNorm):
    """:func:`graphc.batch_norm` of each channel: (batch, channels) or (batch, channels, length) to the same shape.

    A graph that is built for training (see :meth:`Module.train`) normalizes by the mean and the variance of the batch,
    and every function compiled from it moves the running statistics, once for each call of the layer (see
    :func:`graphc.with_updates`). A graph that is built for evaluation normalizes by the running statistics and leaves
    them as they are.

    A batch with fewer than two items for each channel has no variance. Where that is known when the layer is called, it
    is an error; a function that meets such a batch when it runs gives the bias, and leaves the running statistics.

    Args:
        num_features: how many channels.
        eps: added to the variance.
        momentum: the weight of the batch in the running statistics, ``running + momentum * (batch - running)``; None
            for their average over all batches. The variance that goes into them is the unbiased estimate.
        affine: whether the result is multiplied with a weight and a bias is added.
        track_running_stats: whether there are running statistics. Without them, evaluation too goes by the batch.
        dtype: float32 or float64.

    Attributes:
        weight: (num_features,), or None; starts at 1.
        bias: (num_features,), or None; starts at 0.
        running_mean: (num_features,), not trainable, or None; starts at 0.
        running_var: (num_features,), not trainable, or None; starts at 1.
        num_batches_tracked: how many batches went into the running statistics, an int64 scalar, or None.

    Raises:
        ShapeError: the number of channels is not an integer of at least 0; when called, the input has another number of
            axes or channels, or, where it is normalized by its own statistics, one item for each channel.
    """

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """:func:`graphc.batch_norm` of each channel: (batch, channels, height, width) to the same shape.

    Arguments, attributes and errors are those of :class:`BatchNorm1d`.
    """

    _ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """:func:`graphc.batch_norm` of each channel: (batch, channels, depth, height, width) to the same shape.

    Arguments, attributes and errors are those of :class:`BatchNorm1d`.
    """

    _ranks = (5,)


class _InstanceNorm(_ChannelNorm):
    _kept = (0, 1)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Operand) -> Value:
        """The layer's result."""
        value = ops.as_value(x)
        if value.ndim != self._ranks[0]:
            return super().forward(value)
        return ops.squeeze(super().forward(ops.expand_dims(value, 0)), 0)

    def _by_own_statistics(self, x: Value) -> Value:
        return ops.instance_norm(x, self.weight, self.bias, self.eps)


class InstanceNorm1d(_InstanceNorm):
    """:func:`graphc.instance_norm`: (batch, channels, length) or (channels, length) to the same shape.

    Arguments, attributes and errors are those of :class:`BatchNorm1d`, but there are no parameters and no running
    statistics unless they are asked for. Running statistics are means over the instances. They are counted in
    ``num_batches_tracked``, where PyTorch leaves 0, so that ``momentum=None`` means their average here too.
    """

    _ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """:func:`graphc.instance_norm`: (batch, channels, height, width) or (channels, height, width) to the same shape.

    Arguments, attributes and errors are those of :class:`InstanceNorm1d`.
    """

    _ranks = (3, 4)


class LayerNorm(Module):
    """:func:`graphc.layer_norm` over the last axes: (..., *normalized_shape) to the same shape.

    Args:
        normalized_shape: the sizes of the last axes; a number for one axis.
        eps: added to the variance.
        elementwise_affine: whether the result is multiplied with a weight.
        bias: whether a bias is added then.
        dtype: float32 or float64.

    Attributes:
        weight: of the normalized shape, or None; starts at 1.
        bias: of the normalized shape, or None; starts at 0.

    Raises:
        ShapeError: a size is not an integer of at least 0; when called, the last axes of the input have other sizes.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DTypeLike = "float32",
    ) -> None:
        self.normalized_shape = _last_sizes(normalized_shape)
        self.eps = eps
        self.weight = _scale(self.normalized_shape, elementwise_affine, dtype)
        self.bias = _offset(self.normalized_shape, elementwise_affine and bias, dtype)

    def forward(self, x: Operand) -> Value:
        """The layer's result."""
        value = ops.as_value(x)
        axes = _last_axes(self, value, self.normalized_shape)
        return ops.layer_norm(value, self.weight, self.bias, axes, self.eps)

    def settings(self) -> str:
        """The arguments of the constructor."""
        affine = f"elementwise_affine={self.weight is not None}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps:g}, {affine}"


class RMSNorm(Module):
    """:func:`graphc.rms_norm` over the last axes: (..., *normalized_shape) to the same shape.

    Args:
        normalized_shape: the sizes of the last axes; a number for one axis.
        eps: added to the mean of the squares; None for the machine epsilon of the input's dtype.
        elementwise_affine: whether the result is multiplied with a weight.
        dtype: float32 or float64.

    Attributes:
        weight: of the normalized shape, or None; starts at 1.

    Raises:
        ShapeError: a size is not an integer of at least 0; when called, the last axes of the input have other sizes.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: DTypeLike = "float32",
    ) -> None:
        self.normalized_shape = _last_sizes(normalized_shape)
        self.eps = eps
        self.weight = _scale(self.normalized_shape, elementwise_affine, dtype)

    def forward(self, x: Operand) -> Value:
        """The layer's result."""
        value = ops.as_value(x)
        return ops.rms_norm(value, self.weight, _last_axes(self, value, self.normalized_shape), self.eps)

    def settings(self) -> str:
        """The arguments of the constructor."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class GroupNorm(Module):
    """:func:`graphc.group_norm`: (batch, channels, ...) to the same shape.

    Args:
        num_groups: how many groups of neighbouring channels.
        num_channels: how many channels: a multiple of the groups.
        eps: added to the variance.
        affine: whether the result is multiplied with a weight and a bias is added.
        dtype: float32 or float64.

    Attributes:
        weight: (num_channels,), or None; starts at 1.
        bias: (num_channels,), or None; starts at 0.

    Raises:
        ShapeError: the channels do not make so many groups; when called, the input has another number of channels.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: DTypeLike = "float32",
    ) -> None:
        self.num_groups, self.num_channels = fixed_sizes(num_groups, num_channels)
        check_groups(self.num_channels, self.num_groups)
        self.eps = eps
        self.weight = _scale((self.num_channels,), affine, dtype)
        self.bias = _offset((self.num_channels,), affine, dtype)

    def forward(self, x: Operand) -> Value:
        """The layer's result."""
        value = ops.as_value(x)
        _check_sizes(self, value, (self.num_channels,), 1)
        return ops.group_norm(value, self.num_groups, self.weight, self.bias, self.eps)

    def settings(self) -> str:
        """The arguments of the constructor."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps:g}, affine={self.weight is not None}"


def _last_sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    sizes = fixed_sizes(*((shape,) if isinstance(shape, int) else shape))
    if not sizes:
        raise ShapeError("normalized_shape=()", expected="the size of at least one axis")
    return sizes


def _last_axes(layer: Module, x: Value, shape: Sequence[int]) -> range:
    """The last axes, checked to be of a shape."""
    first = max(x.ndim - len(shape), 0)
    _check_sizes(layer, x, shape, first)
    return range(first, x.ndim)
