"""Convolution over 1 to 3 spatial axes, and its adjoints by either operand.

As everywhere in the field, "convolution" is cross-correlation: the weight is not turned over. The three operations are
the three ways to sum the product of input, weight and result over all places and window items, so they are closed under
differentiation. S are the spatial sizes of the input, S' those of the result, K those of the weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.dims import Dim, Size
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, registry
from graphc.ir.ops.declare import same_dtype
from graphc.ir.ops.reduce import sum
from graphc.ir.ops.shape import sample_array
from graphc.ir.ops.window import add_windows, places, windows_of
from graphc.ir.types import Shape, TensorType, shape_text, unify
from graphc.record import record

__all__: list[str] = []


@record
class ConvAttrs:
    """For each spatial axis: the step of the window, zeros before and after, the distance of a window's items.

    The channels are divided into ``groups``, each of which is convolved by itself.
    """

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilations: tuple[int, ...]
    groups: int


@record
class ConvTransposeAttrs(ConvAttrs):
    """``sizes`` are the spatial sizes of the result: several give equally many windows."""

    sizes: Shape


@record
class ConvWeightAttrs(ConvAttrs):
    """``kernel`` are the spatial sizes of the weight."""

    kernel: Shape


def _geometry(attrs: ConvAttrs) -> ConvAttrs:
    return ConvAttrs(attrs.strides, attrs.padding, attrs.dilations, attrs.groups)


def conv(x: Value, weight: Value, attrs: ConvAttrs, bias: Value | None = None) -> Value:
    """The convolution, with the geometry of any of the three operations; with a bias (O,), its sums begin there."""
    return apply_one(CONV, (x, weight) if bias is None else (x, weight, bias), _geometry(attrs))


def conv_transpose(g: Value, weight: Value, attrs: ConvAttrs, sizes: Sequence[Size]) -> Value:
    """The adjoint of :func:`conv` by its input, whose spatial sizes are ``sizes``."""
    attrs = ConvTransposeAttrs(attrs.strides, attrs.padding, attrs.dilations, attrs.groups, tuple(sizes))
    return apply_one(CONV_TRANSPOSE, (g, weight), attrs)


def conv_weight(x: Value, g: Value, attrs: ConvAttrs, kernel: Sequence[Size]) -> Value:
    """The adjoint of :func:`conv` by its weight, whose spatial sizes are ``kernel``."""
    attrs = ConvWeightAttrs(attrs.strides, attrs.padding, attrs.dilations, attrs.groups, tuple(kernel))
    return apply_one(CONV_WEIGHT, (x, g), attrs)


# --- inference -------------------------------------------------------------------------------------------------------


_IMAGES = "batch, channels"


def _check(attrs: ConvAttrs, **operands: tuple[TensorType, str]) -> None:
    """What the three operations ask of their operands, by name, alike; each comes with the names of its first axes."""
    types = [type for type, _ in operands.values()]
    if not same_dtype(types).is_float:
        raise DTypeError(f"operands of dtype {types[0].dtype}", expected="float32 or float64", remedy="cast them")
    rank = len(attrs.strides)
    for name, (type, axes) in operands.items():
        if type.rank != rank + 2:
            raise ShapeError(
                f"the {name} has shape {shape_text(type.shape)}",
                expected=f"{rank + 2} axes: ({axes}, {rank} spatial)",
                remedy="insert an axis for a batch of one with x[None]"
                if axes == _IMAGES and type.rank == rank + 1
                else "reshape it, or call the function for another number of spatial axes",
            )


def _in_group(channels: Size, groups: int, what: str) -> Size:
    """How many of the channels a group has."""
    part = channels // groups
    if unify(part * groups, channels) is None:
        known = "are not known to" if isinstance(channels, Dim) else "do not"
        raise ShapeError(
            f"{channels} {what} channels {known} divide into {groups} groups",
            expected=f"a multiple of {groups}",
            remedy="take a number of groups that divides both numbers of channels",
        )
    return part


def _places(attrs: ConvAttrs, sizes: Shape, kernel: Shape) -> Shape:
    """The spatial sizes of the convolution of ``sizes`` with ``kernel``."""
    result = []
    for axis, (size, window, stride, (low, high), dilation) in enumerate(
        zip(sizes, kernel, attrs.strides, attrs.padding, attrs.dilations, strict=True)
    ):
        if window == 0:
            raise ShapeError(f"a window of no items on spatial axis {axis}", expected="at least 1 item")
        count = places(size + low + high, window, stride, dilation)
        if isinstance(count, int) and count < 1:
            padded = f"{size + low + high} with its padding of {low} + {high}" if low + high else f"{size}"
            spread = f" with a dilation of {dilation}" if dilation > 1 else ""
            raise ShapeError(
                f"a window of {window} items{spread} spans {dilation * (window - 1) + 1} items of spatial axis {axis},"
                f" which has {padded}",
                expected="an axis with room for at least one window",
                remedy="pad more, or take a smaller window",
            )
        result.append(count)
    return tuple(result)


def _agree(found: Size, expected: Size, what: str) -> None:
    if unify(found, expected) is None:
        raise ShapeError(what, expected=f"{expected}")


def _infer_conv(attrs: ConvAttrs, x: TensorType, weight: TensorType, bias: TensorType | None = None) -> TensorType:
    _check(attrs, input=(x, _IMAGES), weight=(weight, "output channels, input channels / groups"))
    inside = _in_group(x.shape[1], attrs.groups, "input")
    if unify(weight.shape[1], inside) is None:
        of_group = f" in {attrs.groups} groups" if attrs.groups > 1 else ""
        raise ShapeError(
            f"a weight of shape {shape_text(weight.shape)} for an input of {x.shape[1]} channels{of_group}"
            f" (shape {shape_text(x.shape)})",
            expected=f"{inside} input channels: (output channels, {inside}, *window)",
            remedy="check the order of the axes, (batch, channels, *spatial), and the number of groups",
        )
    _in_group(weight.shape[0], attrs.groups, "output")
    if bias is not None:
        same_dtype((x, bias))
        if bias.rank != 1 or unify(bias.shape[0], weight.shape[0]) is None:
            raise ShapeError(
                f"a bias of shape {shape_text(bias.shape)} for {weight.shape[0]} output channels",
                expected=f"shape {shape_text(weight.shape[:1])}",
            )
    return TensorType(x.dtype, (x.shape[0], weight.shape[0], *_places(attrs, x.shape[2:], weight.shape[2:])))


def _infer_transpose(attrs: ConvTransposeAttrs, g: TensorType, weight: TensorType) -> TensorType:
    _check(attrs, input=(g, _IMAGES), weight=(weight, "input channels, output channels / groups"))
    if unify(g.shape[1], weight.shape[0]) is None:
        raise ShapeError(
            f"a weight of shape {shape_text(weight.shape)} for an input of {g.shape[1]} channels"
            f" (shape {shape_text(g.shape)})",
            expected=f"a first axis of {g.shape[1]} channels: ({g.shape[1]}, output channels / groups, *window)",
            remedy="check the order of the axes, (batch, channels, *spatial)",
        )
    _in_group(g.shape[1], attrs.groups, "input")
    for axis, size in enumerate(attrs.sizes):
        if isinstance(size, int) and size < 0:
            raise ShapeError(
                f"the result would have the size {size} on spatial axis {axis}: its padding of"
                f" {attrs.padding[axis]} cuts off more than there is",
                expected="at least 0",
                remedy="pad less, or take a larger window",
            )
    for axis, (found, size) in enumerate(zip(g.shape[2:], _places(attrs, attrs.sizes, weight.shape[2:]), strict=True)):
        _agree(found, size, f"{found} windows on spatial axis {axis} of a result of size {attrs.sizes[axis]}")
    return TensorType(g.dtype, (g.shape[0], weight.shape[1] * attrs.groups, *attrs.sizes))


def _infer_weight(attrs: ConvWeightAttrs, x: TensorType, g: TensorType) -> TensorType:
    _check(attrs, input=(x, _IMAGES), cotangent=(g, _IMAGES))
    inside = _in_group(x.shape[1], attrs.groups, "input")
    _in_group(g.shape[1], attrs.groups, "output")
    _agree(g.shape[0], x.shape[0], f"a cotangent for a batch of {g.shape[0]}")
    for axis, (found, size) in enumerate(zip(g.shape[2:], _places(attrs, x.shape[2:], attrs.kernel), strict=True)):
        _agree(found, size, f"{found} windows on spatial axis {axis} of the cotangent")
    return TensorType(x.dtype, (g.shape[1], inside, *attrs.kernel))


# --- evaluation: matrix products over all windows of a group ---------------------------------------------------------


def _grouped(array: Array, axis: int, groups: int) -> Array:
    """The axis of channels as (groups, channels of a group), the groups brought to the front."""
    shape = array.shape
    split = array.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    return np.moveaxis(split, axis, 0)


def _ungrouped(array: Array, axis: int) -> Array:
    """The inverse of :func:`_grouped`."""
    split = np.moveaxis(array, 0, axis)
    shape = split.shape
    return split.reshape(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])


def _columns(attrs: ConvAttrs, x: Array, kernel: Sequence[int]) -> Array:
    """(groups, N, *S', C / groups, *K): what each place of the result reads of the padded input."""
    rank = len(kernel)
    padded = np.pad(x, [(0, 0), (0, 0), *attrs.padding])
    windows = windows_of(padded, range(2, rank + 2), kernel, attrs.strides, attrs.dilations)
    return np.moveaxis(_grouped(windows, 1, attrs.groups), 2, rank + 2)


def _rows(attrs: ConvAttrs, g: Array) -> Array:
    """(groups, N, *S', O / groups)."""
    return np.moveaxis(_grouped(g, 1, attrs.groups), 2, -1)


def _contract(a: Array, b: Array, shared: int, a_first: bool, b_first: bool) -> Array:
    """For each group, the product summed over ``shared`` axes: the first of an operand, or the last."""
    sizes = a.shape[1 : 1 + shared] if a_first else a.shape[a.ndim - shared :]
    a_free = a.shape[1 + shared :] if a_first else a.shape[1 : a.ndim - shared]
    b_free = b.shape[1 + shared :] if b_first else b.shape[1 : b.ndim - shared]
    groups, inner, rows, columns = len(a), *(int(np.prod(part)) for part in (sizes, a_free, b_free))
    left = a.reshape(groups, inner, rows).swapaxes(1, 2) if a_first else a.reshape(groups, rows, inner)
    right = b.reshape(groups, inner, columns) if b_first else b.reshape(groups, columns, inner).swapaxes(1, 2)
    return (left @ right).reshape(groups, *a_free, *b_free)


def _evaluate_conv(attrs: ConvAttrs, x: Array, weight: Array, bias: Array | None = None) -> Array:
    columns = _columns(attrs, x, weight.shape[2:])
    result = _contract(columns, _grouped(weight, 0, attrs.groups), weight.ndim - 1, False, False)
    sums = _ungrouped(np.moveaxis(result, -1, 2), 1)
    return sums if bias is None else sums + bias.reshape(-1, *(1,) * len(attrs.strides))


def _evaluate_transpose(attrs: ConvTransposeAttrs, g: Array, weight: Array) -> Array:
    rank = g.ndim - 2
    columns = _contract(_rows(attrs, g), _grouped(weight, 0, attrs.groups), 1, False, True)
    windows = _ungrouped(np.moveaxis(columns, rank + 2, 2), 1)
    sizes = [int(size) + low + high for size, (low, high) in zip(attrs.sizes, attrs.padding, strict=True)]
    padded = add_windows(windows, range(2, rank + 2), sizes, attrs.strides, attrs.dilations)
    inside = [slice(low, size - high) for size, (low, high) in zip(sizes, attrs.padding, strict=True)]
    return padded[(slice(None), slice(None), *inside)]


def _evaluate_weight(attrs: ConvWeightAttrs, x: Array, g: Array) -> Array:
    columns = _columns(attrs, x, [int(size) for size in attrs.kernel])
    return _ungrouped(_contract(_rows(attrs, g), columns, g.ndim - 1, True, True), 0)


# --- the operations --------------------------------------------------------------------------------------------------


def _conv_vjp(node: Node, g: Value) -> tuple[Value, ...]:
    x, weight, *bias = node.inputs
    by_bias = [sum(g, (0, *range(2, g.ndim))) for _ in bias]
    return conv_transpose(g, weight, node.attrs, x.shape[2:]), conv_weight(x, g, node.attrs, weight.shape[2:]), *by_bias


def _transpose_vjp(node: Node, x: Value) -> tuple[Value, Value]:
    g, weight = node.inputs
    return conv(x, weight, node.attrs), conv_weight(x, g, node.attrs, weight.shape[2:])


def _weight_vjp(node: Node, weight: Value) -> tuple[Value, Value]:
    x, g = node.inputs
    return conv_transpose(g, weight, node.attrs, x.shape[2:]), conv(x, weight, node.attrs)


_SAMPLES: dict[str, tuple[tuple[int, ...], tuple[int, ...], ConvAttrs]] = {
    "1-d": ((2, 3, 7), (4, 3, 3), ConvAttrs((1,), ((0, 0),), (1,), 1)),
    "1-d, all at once": ((2, 4, 8), (2, 2, 3), ConvAttrs((2,), ((1, 2),), (2,), 2)),
    "2-d": ((2, 2, 4, 5), (3, 2, 3, 2), ConvAttrs((1, 1), ((0, 0), (0, 0)), (1, 1), 1)),
    "strides, padding, dilations": ((2, 2, 5, 6), (3, 2, 3, 2), ConvAttrs((2, 3), ((1, 0), (2, 1)), (2, 1), 1)),
    "groups": ((2, 4, 3, 4), (6, 2, 2, 3), ConvAttrs((1, 1), ((1, 1), (1, 1)), (1, 1), 2)),
    "depthwise": ((2, 3, 5, 4), (3, 1, 3, 3), ConvAttrs((1, 1), ((1, 1), (1, 1)), (1, 1), 3)),
    "depthwise, two filters each": ((1, 2, 5, 4), (4, 1, 3, 2), ConvAttrs((2, 1), ((1, 1), (0, 1)), (1, 1), 2)),
    "windows of one item": ((2, 3, 4, 3), (2, 3, 1, 1), ConvAttrs((1, 1), ((0, 0), (0, 0)), (1, 1), 1)),
    "items that no window reads": ((1, 2, 6, 5), (2, 2, 1, 2), ConvAttrs((3, 3), ((0, 0), (0, 0)), (1, 1), 1)),
    "one window": ((2, 2, 3, 4), (5, 2, 3, 4), ConvAttrs((2, 1), ((0, 0), (0, 0)), (1, 1), 1)),
    "windows of padding alone": ((1, 2, 2, 1), (2, 2, 2, 2), ConvAttrs((1, 2), ((3, 2), (2, 4)), (1, 1), 1)),
    "3-d": ((1, 2, 3, 4, 3), (2, 1, 2, 2, 3), ConvAttrs((1, 2, 1), ((0, 1), (1, 0), (1, 1)), (1, 1, 2), 2)),
    "sizes of 1": ((1, 1, 1, 1), (1, 1, 1, 1), ConvAttrs((1, 1), ((0, 0), (0, 0)), (1, 1), 1)),
    "empty batch": ((0, 2, 4, 4), (3, 2, 3, 3), ConvAttrs((1, 1), ((1, 1), (1, 1)), (1, 1), 1)),
    "no input channels": ((2, 0, 3, 3), (3, 0, 2, 2), ConvAttrs((1, 1), ((0, 0), (0, 0)), (1, 1), 1)),
    "no output channels": ((2, 2, 3, 3), (0, 2, 2, 2), ConvAttrs((1, 1), ((0, 0), (0, 0)), (1, 1), 1)),
}
"""Shapes of input and weight, and geometry."""


def _samples(kind: Callable[[ConvAttrs, Shape, Shape], tuple[Callable[..., Value], Shape, Shape]]) -> list[Sample]:
    """``kind`` gives the operation to build and the shapes of its operands."""
    samples = []
    for label, (x, weight, attrs) in _SAMPLES.items():
        build, first, second = kind(attrs, x, weight)
        arrays = [sample_array(*(int(size) for size in shape)) for shape in (first, second)]
        samples.append(Sample(build, tuple(arrays), (0, 1), label=label))
    return samples


def _biased(samples: list[Sample]) -> list[Sample]:
    """The same with an array of one item for each output channel."""
    return [
        replace(
            sample,
            inputs=(*sample.inputs, sample_array(sample.inputs[1].shape[0])),
            differentiable=(0, 1, 2),
            label=f"{sample.label}, with a bias",
        )
        for sample in samples
    ]


def _result(attrs: ConvAttrs, x: Shape, weight: Shape) -> Shape:
    return (x[0], weight[0], *_places(attrs, x[2:], weight[2:]))


CONV: OpDef = registry.add(
    OpDef(
        "conv",
        "(N, C, *S) with (O, C / groups, *K) to (N, O, *S'): sums of products over windows of the padded input,"
        " added to a bias (O,) if there is one.",
        infer=_infer_conv,
        evaluate=_evaluate_conv,
        vjp=_conv_vjp,
        attrs=ConvAttrs,
        needs_items=True,
        samples=lambda: [
            *_samples(lambda attrs, x, w: (lambda a, b: conv(a, b, attrs), x, w)),
            *_biased(_samples(lambda attrs, x, w: (lambda a, b, c: conv(a, b, attrs, c), x, w))),
        ],
    )
)
CONV_TRANSPOSE: OpDef = registry.add(
    OpDef(
        "conv_transpose",
        "(N, O, *S') with (O, C / groups, *K) to (N, C, *S): the adjoint of conv by its input.",
        infer=_infer_transpose,
        evaluate=_evaluate_transpose,
        vjp=_transpose_vjp,
        attrs=ConvTransposeAttrs,
        needs_items=True,
        samples=lambda: _samples(
            lambda attrs, x, w: (lambda a, b: conv_transpose(a, b, attrs, x[2:]), _result(attrs, x, w), w)
        ),
    )
)
CONV_WEIGHT: OpDef = registry.add(
    OpDef(
        "conv_weight",
        "(N, C, *S) with (N, O, *S') to (O, C / groups, *K): the adjoint of conv by its weight.",
        infer=_infer_weight,
        evaluate=_evaluate_weight,
        vjp=_weight_vjp,
        attrs=ConvWeightAttrs,
        needs_items=True,
        samples=lambda: _samples(
            lambda attrs, x, w: (lambda a, b: conv_weight(a, b, attrs, w[2:]), x, _result(attrs, x, w))
        ),
    )
)
