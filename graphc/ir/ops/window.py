"""Windows that slide along axes, and their adjoint, which adds windows back where they were taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply_one
from graphc.ir.dims import Size
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.reduce import require_numbers
from graphc.ir.ops.shape import axes_in_order, known_shape, sample_array
from graphc.ir.types import Shape, TensorType, shape_text, unify
from graphc.record import record

__all__ = ["overlap_add", "sliding_window"]


def places(size: Size, window: Size, stride: int, dilation: int) -> Size:
    """How many windows an axis has room for."""
    return (size - dilation * (window - 1) - 1) // stride + 1


def whole_number(number: Any, what: str, least: int = 0) -> int:
    """An integer of at least ``least``.

    Raises:
        ShapeError: it is less.
        DTypeError: it is not an integer.
    """
    if not isinstance(number, int | np.integer) or isinstance(number, bool):
        raise DTypeError(f"{what} {number!r} is a {type(number).__name__}", expected="an integer")
    if number < least:
        raise ShapeError(f"{what} {number}", expected=f"an integer of at least {least}")
    return int(number)


def numbers_for_axes(given: Any, count: int, what: str, least: int = 0) -> tuple[int, ...]:
    """One integer of at least ``least`` for each of ``count`` axes, from one for all or one for each.

    Raises:
        ShapeError: there are more or fewer, or one is less than ``least``.
        DTypeError: one is not an integer.
    """
    one_each = isinstance(given, Iterable) and not isinstance(given, str)
    numbers = tuple(whole_number(number, what, least) for number in (given if one_each else (given,) * count))
    if len(numbers) != count:
        raise ShapeError(f"{what} {given!r}", expected=f"an integer, or {count} of them: one for each axis")
    return numbers


# --- sliding_window --------------------------------------------------------------------------------------------------


@record
class WindowAttrs:
    """For each of ``axes``: how many items a window has, and the distances between windows and between their items."""

    axes: tuple[int, ...]
    sizes: Shape
    strides: tuple[int, ...]
    dilations: tuple[int, ...]


def _room(axis: int, size: Size, window: Size, stride: int, dilation: int) -> Size:
    """How many windows an axis has room for; refused where it is known to have none."""
    room = places(size, window, stride, dilation)
    if isinstance(room, int) and room < 1:
        spread = f" with gaps of {dilation - 1}" if dilation > 1 else ""
        raise ShapeError(
            f"a window of {window} items{spread} spans {dilation * (window - 1) + 1} items of axis {axis},"
            f" which has {size}",
            expected="an axis with room for at least one window",
            remedy="take a smaller window, or pad the axis with gr.pad",
        )
    return room


def _infer_window(attrs: WindowAttrs, x: TensorType) -> TensorType:
    shape = list(x.shape)
    for axis, window, stride, dilation in zip(attrs.axes, attrs.sizes, attrs.strides, attrs.dilations, strict=True):
        shape[axis] = _room(axis, x.shape[axis], window, stride, dilation)
    return TensorType(x.dtype, (*shape, *attrs.sizes))


def windows_of(
    x: Array, axes: Sequence[int], sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Array:
    """A view of the windows that slide along ``axes``; an axis for each window stands at the end."""
    spans = [dilation * (size - 1) + 1 for size, dilation in zip(sizes, dilations, strict=True)]
    steps = dict(zip(axes, strides, strict=True))
    every = [slice(None, None, steps.get(axis)) for axis in range(x.ndim)]
    inside = [slice(None, None, dilation) for dilation in dilations]
    windows: Array = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(axes))[(*every, *inside)]
    return windows


def _window_vjp(node: Node, g: Value) -> tuple[Value]:
    attrs: WindowAttrs = node.attrs
    sizes = tuple(node.inputs[0].shape[axis] for axis in attrs.axes)
    return (apply_one(OVERLAP_ADD, (g,), OverlapAttrs(attrs.axes, sizes, attrs.strides, attrs.dilations)),)


SLIDING_WINDOW: OpDef = registry.add(
    OpDef(
        "sliding_window",
        "The windows that slide along axes; an axis for each window stands at the end.",
        infer=_infer_window,
        evaluate=lambda attrs, x: windows_of(x, attrs.axes, attrs.sizes, attrs.strides, attrs.dilations),
        vjp=_window_vjp,
        attrs=WindowAttrs,
        needs_items=True,
        view=True,
        samples=lambda: [
            Sample(lambda x: sliding_window(x, 3), (sample_array(7),), (0,), label="one axis"),
            Sample(lambda x: sliding_window(x, 2, 0, 2), (sample_array(5, 3),), (0,), label="first axis, a rest"),
            Sample(lambda x: sliding_window(x, 2, 1, 3), (sample_array(2, 7),), (0,), label="gaps between windows"),
            Sample(lambda x: sliding_window(x, (2, 3)), (sample_array(4, 5),), (0,), label="two axes"),
            Sample(
                lambda x: sliding_window(x, (2, 3), (3, 1), (1, 2), (3, 1)),
                (sample_array(2, 6, 2, 5),),
                (0,),
                label="axes in another order",
            ),
            Sample(lambda x: sliding_window(x, (2, 2, 1)), (sample_array(3, 2, 3),), (0,), label="three axes"),
            Sample(lambda x: sliding_window(x, 4, 1), (sample_array(3, 4),), (0,), label="the whole axis"),
            Sample(lambda x: sliding_window(x, 1, 1), (sample_array(3, 1),), (0,), label="of one item"),
            Sample(lambda x: sliding_window(x, 2, 1), (sample_array(0, 4),), (0,), label="empty"),
            Sample(lambda x: sliding_window(x, 2, 0), (np.arange(12).reshape(4, 3),), label="int64"),
        ],
    )
)


def sliding_window(
    x: Operand,
    window: Size | Sequence[Size],
    axis: int | Sequence[int] | None = None,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
) -> Value:
    """The windows that slide along axes of ``x``, as in NumPy's ``sliding_window_view``; no item is copied.

    Args:
        x: any shape and dtype.
        window: how many items, known numbers, a window has along each of ``axis``.
        axis: the axes, each once. None for all: then ``window`` has an entry for each.
        stride: the distance from one window to the next; one for all axes, or one for each.
        dilation: the distance from one item of a window to the next; one for all axes, or one for each.

    Returns:
        Along each of ``axis``, the ``(size - dilation * (window - 1) - 1) // stride + 1`` places of the window. At the
        end stands an axis of size ``window`` for each of ``axis``, in their order.

    Raises:
        ShapeError: an axis does not exist, stands twice, or is shorter than its window; there is not one window for
            each axis; a window, stride or dilation is less than 1.
        DTypeError: a window, stride or dilation is not an integer.
    """
    value = as_value(x)
    axes = _chosen_axes(axis, value.ndim, "sliding_window")
    counts = tuple(window) if isinstance(window, Iterable) else (window,)  # one does not stand for all, as in NumPy
    if len(counts) != len(axes):
        raise ShapeError(
            f"sliding_window: window={window!r} for {_axes_text(axis, axes)}",
            expected="one size for each axis",
            remedy="name the axes that the window slides along with axis=",
        )
    attrs = WindowAttrs(
        axes,
        numbers_for_axes(counts, len(axes), "sliding_window: window", 1),
        numbers_for_axes(stride, len(axes), "sliding_window: stride", 1),
        numbers_for_axes(dilation, len(axes), "sliding_window: dilation", 1),
    )
    return apply_one(SLIDING_WINDOW, (value,), attrs) if axes else value


def _chosen_axes(axis: int | Sequence[int] | None, rank: int, what: str) -> tuple[int, ...]:
    axes = tuple(range(rank) if axis is None else axes_in_order(axis, rank, f"{what}: axis"))
    if len(set(axes)) != len(axes):
        raise ShapeError(
            f"{what}: axis={axis!r} names one axis twice",
            expected="each axis once",
            remedy="call it again on the result for windows within windows",
        )
    return axes


def _axes_text(axis: int | Sequence[int] | None, axes: tuple[int, ...]) -> str:
    return f"all {len(axes)} axes" if axis is None else f"axis={axis!r}"


# --- overlap_add -----------------------------------------------------------------------------------------------------


@record
class OverlapAttrs:
    """For each of ``axes``: its size in the result, and the distances between windows and between their items."""

    axes: tuple[int, ...]
    sizes: Shape
    strides: tuple[int, ...]
    dilations: tuple[int, ...]


def _infer_overlap(attrs: OverlapAttrs, x: TensorType) -> TensorType:
    require_numbers(x.dtype)
    rank = x.rank - len(attrs.axes)
    shape = list(x.shape[:rank])
    for place, (axis, size, stride, dilation) in enumerate(
        zip(attrs.axes, attrs.sizes, attrs.strides, attrs.dilations, strict=True)
    ):
        count, window = x.shape[axis], x.shape[rank + place]
        room = _room(axis, size, window, stride, dilation)
        if unify(count, room) is None:
            raise ShapeError(
                f"{count} windows of {window} items on axis {axis} of an operand of shape {shape_text(x.shape)}",
                expected=f"{room} windows: as many as an axis of {size} items has room for, with stride {stride}"
                f" and dilation {dilation}",
                remedy="check the size of the result and the stride",
            )
        shape[axis] = size
    return TensorType(x.dtype, tuple(shape))


def add_windows(
    windows: Array, axes: Sequence[int], sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Array:
    """The adjoint of :func:`windows_of`: each item is added where it was taken, in an array of zeros."""
    rank = windows.ndim - len(axes)
    shape = list(windows.shape[:rank])
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] = size
    result: Array = np.zeros(shape, windows.dtype)
    for at in np.ndindex(windows.shape[rank:]):
        keys = [slice(None)] * rank
        for axis, k, stride, dilation in zip(axes, at, strides, dilations, strict=True):
            keys[axis] = slice(k * dilation, k * dilation + stride * (windows.shape[axis] - 1) + 1, stride)
        result[tuple(keys)] += windows[(..., *at)]
    return result


def _overlap_vjp(node: Node, g: Value) -> tuple[Value]:
    attrs: OverlapAttrs = node.attrs
    return (
        apply_one(
            SLIDING_WINDOW,
            (g,),
            WindowAttrs(attrs.axes, node.inputs[0].shape[g.ndim :], attrs.strides, attrs.dilations),
        ),
    )


OVERLAP_ADD: OpDef = registry.add(
    OpDef(
        "overlap_add",
        "Windows added where they would be taken from: the adjoint of sliding_window.",
        infer=_infer_overlap,
        evaluate=lambda attrs, x: add_windows(x, attrs.axes, attrs.sizes, attrs.strides, attrs.dilations),
        vjp=_overlap_vjp,
        attrs=OverlapAttrs,
        needs_items=True,
        samples=lambda: [
            Sample(lambda x: overlap_add(x, 7), (sample_array(5, 3),), (0,), label="one axis"),
            Sample(lambda x: overlap_add(x, 5, 0, 2), (sample_array(2, 3, 2),), (0,), label="first axis, a rest"),
            Sample(lambda x: overlap_add(x, 7, 1, 3), (sample_array(2, 2, 2),), (0,), label="gaps between windows"),
            Sample(lambda x: overlap_add(x, (4, 5)), (sample_array(3, 3, 2, 3),), (0,), label="two axes"),
            Sample(
                lambda x: overlap_add(x, (5, 6), (3, 1), (1, 2), (3, 1)),
                (sample_array(2, 2, 2, 2, 2, 3),),
                (0,),
                label="axes in another order",
            ),
            Sample(lambda x: overlap_add(x, 4, 1), (sample_array(3, 1, 4),), (0,), label="the whole axis"),
            Sample(lambda x: overlap_add(x, 4, 1), (sample_array(0, 3, 2),), (0,), label="empty"),
            Sample(lambda x: overlap_add(x, 4, 0), (np.arange(18).reshape(3, 3, 2),), label="int64"),
        ],
    )
)


def overlap_add(
    x: Operand,
    size: Size | str | Sequence[Size | str],
    axis: int | Sequence[int] | None = None,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
) -> Value:
    """Windows added together where :func:`sliding_window` would take them; the gradient of that function.

    Args:
        x: numbers of shape ``(..., *windows)``: places of windows along each of ``axis``; at the end an axis for each
            window, in the order of ``axis``.
        size: sizes of the axes ``axis`` of the result: integers, Dims or names.
        axis: the axes of the result, each once; None for all.
        stride: the distance from one window to the next; one for all axes, or one for each.
        dilation: the distance from one item of a window to the next; one for all axes, or one for each.

    Returns:
        The shape of ``x`` without the windows' axes, with ``size`` in place of the numbers of windows.

    Raises:
        ShapeError: an axis does not exist or stands twice; there is not one size for each; an axis of that size has
            room for another number of windows; a stride or dilation is less than 1.
        DTypeError: the operand is bool; a stride or dilation is not an integer.
    """
    value = as_value(x)
    sizes = known_shape(size, "size")
    rank = value.ndim - len(sizes)
    axes = _chosen_axes(axis, max(rank, 0), "overlap_add")
    if len(sizes) != len(axes):
        raise ShapeError(
            f"overlap_add: size={size!r} for {_axes_text(axis, axes)} of a result of {rank} axes",
            expected="one size for each axis, and one axis of the operand for each window",
        )
    attrs = OverlapAttrs(
        axes,
        sizes,
        numbers_for_axes(stride, len(axes), "overlap_add: stride", 1),
        numbers_for_axes(dilation, len(axes), "overlap_add: dilation", 1),
    )
    return apply_one(OVERLAP_ADD, (value,), attrs) if axes else value
