"""Normalization: of each example over some of its axes, and of each channel over a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphError, ShapeError
from graphc.ir.dims import Size, product
from graphc.ir.graph import Value
from graphc.ir.operators import Axes, Operand
from graphc.ir.ops.arithmetic import add, divide, multiply, subtract
from graphc.ir.ops.choice import maximum
from graphc.ir.ops.conversion import cast, float_dtype, promoted
from graphc.ir.ops.creation import ones, zeros
from graphc.ir.ops.differentiation import custom_gradient, stop_gradient
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.normalize import normalize
from graphc.ir.ops.reduce import sum
from graphc.ir.ops.shape import moveaxis, reshape, squeeze
from graphc.ir.ops.statistics import size_value
from graphc.ir.ops.transcendental import rsqrt
from graphc.ir.source import phase
from graphc.ir.types import Shape, normalize_axes, shape_text, unify

__all__ = ["batch_norm", "batch_statistics", "group_norm", "instance_norm", "layer_norm", "rms_norm"]


def layer_norm(
    x: Operand, weight: Operand | None = None, bias: Operand | None = None, axis: Axes = -1, eps: float = 1e-5
) -> Value:
    """``(x - mean) / sqrt(variance + eps) * weight + bias``, the mean and the variance taken over axes.

    Source: Ba, Kiros, Hinton, Layer Normalization, 2016.

    Args:
        x: any shape with these axes. Integers are converted to a float dtype.
        weight: the shape of the axes, in rising order; None for 1.
        bias: the shape of the axes, in rising order; None for 0.
        axis: one axis, several, or None for all.
        eps: added to the variance.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: an axis does not exist or stands twice, or the weight or the bias has another shape.
    """
    value = _as_float(x)
    axes = normalize_axes(axis, value.ndim)
    return _affine(_over_axes(value, axes, eps, centered=True), weight, bias, axes)


def rms_norm(x: Operand, weight: Operand | None = None, axis: Axes = -1, eps: float | None = None) -> Value:
    """``x / sqrt(mean(x**2) + eps) * weight``, the mean taken over axes.

    Source: Zhang, Sennrich, Root Mean Square Layer Normalization, 2019.

    Args:
        x: any shape with these axes. Integers are converted to a float dtype.
        weight: the shape of the axes, in rising order; None for 1.
        axis: one axis, several, or None for all.
        eps: added to the mean; None for the machine epsilon of the dtype, as in PyTorch.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: an axis does not exist or stands twice, or the weight has another shape.
    """
    value = _as_float(x)
    axes = normalize_axes(axis, value.ndim)
    chosen = float(np.finfo(value.dtype.numpy).eps) if eps is None else eps
    return _affine(_over_axes(value, axes, chosen, centered=False), weight, None, axes)


def group_norm(
    x: Operand, num_groups: int, weight: Operand | None = None, bias: Operand | None = None, eps: float = 1e-5
) -> Value:
    """:func:`layer_norm` of each example over each of ``num_groups`` groups of neighbouring channels.

    Source: Wu, He, Group Normalization, 2018.

    Args:
        x: (batch, channels, ...). Integers are converted to a float dtype.
        num_groups: a number that divides the channels.
        weight: (channels,); None for 1.
        bias: (channels,); None for 0.
        eps: added to the variance.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: there are fewer than two axes, the channels do not make so many groups, or the weight or the bias
            has another shape.
    """
    value = _with_channels(x)
    batch, channels, *rest = value.shape
    check_groups(channels, num_groups)
    rows = reshape(value, (batch, num_groups, channels // num_groups * product(rest)))
    normalized = reshape(normalize(rows, eps)[0], value.shape)
    return _affine(normalized, weight, bias, (1,))


def instance_norm(x: Operand, weight: Operand | None = None, bias: Operand | None = None, eps: float = 1e-5) -> Value:
    """:func:`layer_norm` of each channel of each example.

    Source: Ulyanov, Vedaldi, Lempitsky, Instance Normalization, 2016.

    Args:
        x: (batch, channels, ...). Integers are converted to a float dtype.
        weight: (channels,); None for 1.
        bias: (channels,); None for 0.
        eps: added to the variance.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: there are fewer than two axes, or one item for each channel, or the weight or the bias has another
            shape.
    """
    value = _with_channels(x)
    axes = tuple(range(2, value.ndim))
    _require_several(value, axes)
    return _affine(_over_axes(value, axes, eps, centered=True), weight, bias, (1,))


def batch_statistics(x: Operand, axis: int | Sequence[int] = 1) -> tuple[Value, Value]:
    """The mean and the variance (of the items, not of what they are a sample of) of each channel.

    They are accurate for a large mean too: both are computed from deviations (the corrected two-pass algorithm of Chan,
    Golub, LeVeque, Algorithms for computing the sample variance, 1983).

    Args:
        x: any shape with these axes. Integers are converted to a float dtype.
        axis: the axis of the channels, or several: those that stay. Means are taken over the others.

    Returns:
        Mean and variance, of the shape of the axes that stay; NaN of nothing.

    Raises:
        ShapeError: an axis does not exist or stands twice.
    """
    value = _as_float(x)
    others = _other_axes(value, normalize_axes(axis, value.ndim))
    mean, variance = _moments(value, others)
    return squeeze(mean, others), squeeze(variance, others)


def batch_norm(
    x: Operand,
    weight: Operand | None = None,
    bias: Operand | None = None,
    mean: Operand | None = None,
    variance: Operand | None = None,
    axis: int = 1,
    eps: float = 1e-5,
) -> Value:
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` with one mean and one variance for each channel.

    Source: Ioffe, Szegedy, Batch Normalization, 2015.

    Args:
        x: any shape with this axis. Integers are converted to a float dtype.
        weight: (channels,); None for 1.
        bias: (channels,); None for 0.
        mean: (channels,); None for that of ``x``, see :func:`batch_statistics`, through which gradients flow.
        variance: (channels,); None where ``mean`` is.
        axis: the axis of the channels.
        eps: added to the variance.

    Returns:
        The shape of ``x``.

    Raises:
        GraphError: one of mean and variance is given without the other.
        ShapeError: the axis does not exist, a parameter has another shape than (channels,), or mean and variance are
            those of a batch which is known to have one item for each channel.
    """
    value = _as_float(x)
    axes = normalize_axes((axis,), value.ndim)
    if (mean is None) != (variance is None):
        raise GraphError(
            f"batch_norm was given a {'variance' if mean is None else 'mean'} alone",
            expected="a mean and a variance, or neither for those of the batch",
        )
    operands: dict[str, Operand] = {
        "weight": ones(_sizes(value, axes), value.dtype) if weight is None else weight,
        "bias": zeros(_sizes(value, axes), value.dtype) if bias is None else bias,
    }
    if mean is not None and variance is not None:
        operands |= {"mean": mean, "variance": variance}
    value, *given = promoted((value, *operands.values()))
    scale, offset, *statistics = (_along(each, value, axes, what) for what, each in zip(operands, given, strict=True))
    if statistics:
        center, spread = statistics
        return _scaled(value, scale, offset, center, rsqrt(add(spread, eps)))
    others = _other_axes(value, axes)
    _require_several(value, others)
    result: Value = _batch_function(others, eps)(value, scale, offset)
    return result


def check_groups(channels: Size, num_groups: int) -> None:
    """Check that channels make groups of one size.

    Raises:
        ShapeError: they do not, or are not known to.
    """
    if num_groups < 1 or unify(channels, channels // num_groups * num_groups) is None:
        raise ShapeError(
            f"{channels} channels in {num_groups} groups", expected="a number of groups that divides the channels"
        )


def _as_float(x: Operand) -> Value:
    value = as_value(x)
    return cast(value, float_dtype(value.dtype))


def _with_channels(x: Operand) -> Value:
    value = _as_float(x)
    if value.ndim < 2:
        raise ShapeError(f"an operand of shape {shape_text(value.shape)}", expected="(batch, channels, ...)")
    return value


def _sizes(value: Value, axes: Sequence[int]) -> Shape:
    return tuple(value.shape[axis] for axis in axes)


def _other_axes(value: Value, axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis for axis in range(value.ndim) if axis not in axes)


def _require_several(value: Value, axes: Sequence[int]) -> None:
    """The deviation of one item from its own mean is 0, whatever the item."""
    if product(_sizes(value, axes)) == 1:
        raise ShapeError(
            f"an operand of shape {shape_text(value.shape)} has one item to take the mean and the variance of",
            expected="several: a larger batch, or larger images",
            remedy="use the statistics of other data: model.eval(), or the mean and variance arguments of batch_norm",
        )


def _along(parameter: Value, value: Value, axes: Sequence[int], what: str) -> Value:
    """A parameter of the shape of some axes, so that it is broadcast over the others."""
    wanted = _sizes(value, axes)
    fits = parameter.ndim == len(wanted) and all(
        unify(found, size) is not None for found, size in zip(parameter.shape, wanted, strict=True)
    )
    if not fits:
        raise ShapeError(
            f"the {what} has shape {shape_text(parameter.shape)}",
            expected=f"{shape_text(wanted)}, as axes {tuple(axes)} of shape {shape_text(value.shape)}",
        )
    sizes = iter(parameter.shape)
    return reshape(parameter, [next(sizes) if axis in axes else 1 for axis in range(value.ndim)])


def _over_axes(value: Value, axes: tuple[int, ...], eps: float, centered: bool) -> Value:
    """The items normalized over axes."""
    last = tuple(range(value.ndim - len(axes), value.ndim))
    moved = moveaxis(value, axes, last)
    outer = moved.shape[: value.ndim - len(axes)]
    rows, _ = normalize(reshape(moved, (*outer, product(_sizes(value, axes)))), eps, centered)
    return moveaxis(reshape(rows, moved.shape), last, axes)


def _affine(value: Value, weight: Operand | None, bias: Operand | None, axes: Sequence[int]) -> Value:
    if weight is not None:
        value = multiply(value, _along(as_value(weight), value, axes, "weight"))
    if bias is not None:
        value = add(value, _along(as_value(bias), value, axes, "bias"))
    return value


def _moments(x: Value, axes: Sequence[int]) -> tuple[Value, Value]:
    """Mean and variance with the axes kept. The formulas hold for any shift, so it is a constant to derivatives."""
    count = size_value(product(_sizes(x, axes)), x.dtype)
    shift = stop_gradient(divide(sum(x, axes, keepdims=True), count))
    deviation = subtract(x, shift)
    rest = divide(sum(deviation, axes, keepdims=True), count)
    squares = divide(sum(multiply(deviation, deviation), axes, keepdims=True), count)
    return add(shift, rest), maximum(subtract(squares, multiply(rest, rest)), 0.0)


def _scaled(x: Value, weight: Value, bias: Value, mean: Value, rstd: Value) -> Value:
    """One multiplication and one addition for each item."""
    scale = multiply(weight, rstd)
    return add(multiply(x, scale), subtract(bias, multiply(mean, scale)))


def _batch_function(axes: Sequence[int], eps: float) -> Callable[..., Any]:
    """Normalization by the statistics of the batch, with a gradient that reads ``x`` and its cotangent twice.

    The cotangent of ``x`` is ``weight * rstd * (g - mean(g) - y * mean(g * y))`` with ``y`` the items of mean 0 and
    variance 1, written as ``a * g + b * x + c`` with one ``a``, ``b`` and ``c`` for each channel: nothing of the size
    of ``x`` is stored but the results.
    """

    @custom_gradient
    def batch_norm(x: Value, weight: Value, bias: Value) -> tuple[Value, Callable[[Value], tuple[Value, Value, Value]]]:
        mean, variance = _moments(x, axes)
        rstd = rsqrt(add(variance, eps))

        def backward(g: Value) -> tuple[Value, Value, Value]:
            with phase("backward"):
                count = size_value(product(_sizes(x, axes)), x.dtype)
                standardized = subtract(multiply(x, rstd), multiply(mean, rstd))
                by_weight = sum(multiply(g, standardized), axes, keepdims=True)
                by_bias = sum(g, axes, keepdims=True)
                a = multiply(weight, rstd)
                b = multiply(multiply(a, rstd), divide(by_weight, count))
                c = subtract(multiply(b, mean), multiply(a, divide(by_bias, count)))
                return add(subtract(multiply(g, a), multiply(x, b)), c), by_weight, by_bias

        return _scaled(x, weight, bias, mean, rstd), backward

    return batch_norm
