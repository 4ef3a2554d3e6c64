"""Maxima and sums of the windows of an operand's last axes, and their adjoints.

Sums are linear, and so is the choice of the items that were found to be maxima: with their adjoints, the operations are
closed under differentiation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import DTypeError, ShapeError
from graphc.ir.build import apply, apply_one
from graphc.ir.dims import Size
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, registry
from graphc.ir.ops.shape import sample_array
from graphc.ir.ops.window import places
from graphc.ir.types import Shape, TensorType, int32, shape_text, unify
from graphc.record import record

__all__: list[str] = []


@record
class PoolAttrs:
    """The pooled axes, which are the last: their sizes, and the numbers of windows or bins along them."""

    inputs: Shape
    outputs: Shape


@record
class Bins(PoolAttrs):
    """Bin ``i`` of ``n`` has the items from ``floor(i * size / n)`` to before ``ceil((i + 1) * size / n)``."""


@record
class Windows(PoolAttrs):
    """For each pooled axis: the size and the step of the window, where it starts, and the distance of its items.

    The first window starts ``padding`` places before the axis. A window has those of its items that exist.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[int, ...]
    dilations: tuple[int, ...]


# --- inference -------------------------------------------------------------------------------------------------------


def _check(attrs: PoolAttrs, *types: TensorType) -> None:
    rank = len(attrs.inputs)
    for type in types:
        if not type.dtype.is_float:
            raise DTypeError(
                f"an operand of dtype {type.dtype}", expected="float32 or float64", remedy="convert it with .astype"
            )
        if type.rank < rank:
            raise ShapeError(f"an operand of {type.rank} axes", expected=f"at least {rank}, which are pooled")
    for axis, (size, count) in enumerate(zip(attrs.inputs, attrs.outputs, strict=True)):
        if size == 0:
            raise ShapeError(f"pooled axis {axis} has no items", expected="at least one item along each pooled axis")
        if isinstance(attrs, Windows) and isinstance(count, int) and count < 1:
            low, span = attrs.padding[axis], attrs.dilations[axis] * (attrs.kernel[axis] - 1) + 1
            padded = f"{size}, and {low} places before and after it" if low else str(size)
            raise ShapeError(
                f"a window that spans {span} places on pooled axis {axis}, whose size is {padded}",
                expected="an axis with room for at least one window",
                remedy="take a smaller window, or pool less often before",
            )


def _resized(type: TensorType, found: Shape, made: Shape) -> TensorType:
    """The type with the pooled axes, whose sizes should be ``found``, replaced."""
    lead = type.rank - len(found)
    if any(unify(own, size) is None for own, size in zip(type.shape[lead:], found, strict=True)):
        raise ShapeError(f"pooled axes of sizes {shape_text(type.shape[lead:])}", expected=f"sizes {shape_text(found)}")
    return TensorType(type.dtype, (*type.shape[:lead], *made))


def _infer_max(attrs: PoolAttrs, x: TensorType) -> tuple[TensorType, TensorType]:
    values = _infer_sum(attrs, x)
    return values, TensorType(int32, values.shape)


def _infer_sum(attrs: PoolAttrs, x: TensorType) -> TensorType:
    _check(attrs, x)
    return _resized(x, attrs.inputs, attrs.outputs)


def _infer_sum_grad(attrs: PoolAttrs, g: TensorType) -> TensorType:
    _check(attrs, g)
    return _resized(g, attrs.outputs, attrs.inputs)


def _check_found(found: TensorType, shape: Shape) -> None:
    if found.dtype != int32:
        raise DTypeError(f"places of dtype {found.dtype}", expected="int32")
    if found.rank != len(shape) or any(unify(a, b) is None for a, b in zip(found.shape, shape, strict=True)):
        raise ShapeError(f"places of shape {shape_text(found.shape)}", expected=f"shape {shape_text(shape)}")


def _infer_max_grad(attrs: PoolAttrs, g: TensorType, found: TensorType) -> TensorType:
    _check_found(found, g.shape)
    return _infer_sum_grad(attrs, g)


def _infer_pick(attrs: PoolAttrs, x: TensorType, found: TensorType) -> TensorType:
    result = _infer_sum(attrs, x)
    _check_found(found, result.shape)
    return result


# --- evaluation ------------------------------------------------------------------------------------------------------


def _along(attrs: PoolAttrs, axis: int) -> tuple[Array, Array]:
    """Along one axis, of shape (windows, items): positions of the windows' items, and which of them exist."""
    size, count = _sizes(attrs)[axis], attrs.outputs[axis]
    assert isinstance(count, int)
    number = np.arange(count)[:, None]
    if isinstance(attrs, Windows):
        at = number * attrs.strides[axis] - attrs.padding[axis]
        at = at + np.arange(attrs.kernel[axis]) * attrs.dilations[axis]
        return at, (at >= 0) & (at < size)
    start, stop = number * size // max(count, 1), -(-(number + 1) * size // max(count, 1))
    at = start + np.arange(np.max(stop - start, initial=1))
    return at, at < stop


def _sizes(attrs: PoolAttrs) -> tuple[int, ...]:
    """The sizes of the pooled axes, which are known by now."""
    return tuple(size for size in attrs.inputs if isinstance(size, int))


def _members(attrs: PoolAttrs) -> tuple[Array, Array]:
    """Flat positions of all windows' items, of shape (windows, items), and which of them exist.

    Those that do not exist are at the position after the last.
    """
    at: Array = np.zeros((1, 1), np.int64)
    exists: Array = np.ones((1, 1), np.bool_)
    for axis, size in enumerate(_sizes(attrs)):
        more, exist = _along(attrs, axis)
        shape = (len(at) * len(more), at.shape[-1] * more.shape[-1])
        at = (at[:, None, :, None] * size + more[None, :, None, :]).reshape(shape)
        exists = (exists[:, None, :, None] & exist[None, :, None, :]).reshape(shape)
    return np.where(exists, at, math.prod(_sizes(attrs))), exists


def _rows(x: Array, rank: int) -> Array:
    """The pooled axes as one, and all others as one."""
    lead = x.ndim - rank
    return x.reshape(math.prod(x.shape[:lead]), math.prod(x.shape[lead:]))


def _extended(attrs: PoolAttrs, x: Array, filler: float) -> Array:
    """Rows of the operand with one more item, which stands for those that do not exist."""
    return np.pad(_rows(x, len(attrs.inputs)), ((0, 0), (0, 1)), constant_values=filler)


def _pooled(attrs: PoolAttrs, x: Array, rows: Array) -> Array:
    """Rows of results in the shape that follows from the operand's."""
    lead = x.shape[: x.ndim - len(attrs.inputs)]
    return rows.reshape((*lead, *attrs.outputs))


def _evaluate_max(attrs: PoolAttrs, x: Array) -> tuple[Array, Array]:
    at, exists = _members(attrs)
    items = _extended(attrs, x, -np.inf)[:, at]
    values = items.max(-1)
    nan = np.isnan(values)
    chosen = exists & np.where(nan[..., None], np.isnan(items), items == values[..., None])
    last = at.shape[1] - 1 - np.argmax(chosen[..., ::-1], -1)
    item = np.where(nan, last, np.argmax(chosen, -1))
    found = np.where(chosen.any(-1), at[np.arange(len(at)), item], -1)
    return _pooled(attrs, x, values), _pooled(attrs, x, found.astype(np.int32))


def _evaluate_sum(attrs: PoolAttrs, x: Array) -> Array:
    return _pooled(attrs, x, _extended(attrs, x, 0.0)[:, _members(attrs)[0]].sum(-1, x.dtype))


def _evaluate_pick(attrs: PoolAttrs, x: Array, found: Array) -> Array:
    return np.take_along_axis(_extended(attrs, x, 0.0), _flat(attrs, found), 1).reshape(found.shape)


def _flat(attrs: PoolAttrs, found: Array) -> Array:
    """Rows of positions that were found, where -1 is the position after the last."""
    return _rows(np.where(found < 0, math.prod(_sizes(attrs)), found), len(attrs.inputs))


def _scattered(attrs: PoolAttrs, g: Array, at: Array) -> Array:
    """Cotangents added at flat positions, of shape (rows or 1, windows, items)."""
    rows = _rows(g, len(attrs.inputs))
    result = np.zeros((len(rows), math.prod(_sizes(attrs)) + 1), g.dtype)
    np.add.at(result, (np.arange(len(rows))[:, None, None], at), rows[..., None])
    return result[:, :-1].reshape((*g.shape[: g.ndim - len(attrs.inputs)], *_sizes(attrs)))


# --- operations ------------------------------------------------------------------------------------------------------


def sample_windows(
    sizes: Sequence[Size],
    kernel: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
    padding: tuple[int, ...] | None = None,
    dilations: tuple[int, ...] | None = None,
) -> Windows:
    """Windows for samples: steps of a window and no padding where none are given, and no window in part at the end."""
    steps, low, gaps = strides or kernel, padding or (0,) * len(kernel), dilations or (1,) * len(kernel)
    outputs = [
        places(size + 2 * before, window, stride, gap)
        for size, window, stride, before, gap in zip(sizes, kernel, steps, low, gaps, strict=True)
    ]
    return Windows(tuple(sizes), tuple(outputs), kernel, steps, low, gaps)


def _ties() -> Array:
    return np.array([[1.0, 3.0, 3.0, 3.0, 0.0, 0.0, -np.inf, -np.inf]])


def _samples(pool: Callable[[Value, PoolAttrs], Any], of_nothing: bool = True) -> list[Sample]:
    """Samples of all kinds of windows; ``of_nothing`` says whether the result is a number where one has no items."""

    def sample(label: str, x: Array, attrs: Callable[[Shape], PoolAttrs], rank: int, smooth: bool = True) -> Sample:
        return Sample(lambda x: pool(x, attrs(x.shape[x.ndim - rank :])), (x,), (0,), smooth, label)

    return [
        sample("one axis", sample_array(2, 7), lambda s: sample_windows(s, (2,)), 1),
        sample("overlapping", sample_array(2, 7), lambda s: sample_windows(s, (3,), (1,)), 1),
        sample("padded", sample_array(2, 3, 5), lambda s: sample_windows(s, (3, 2), (2, 1), (1, 1)), 2),
        sample("gaps", sample_array(2, 5, 6), lambda s: sample_windows(s, (2, 2), (1, 3), (1, 0), (3, 2)), 2),
        sample("two axes", sample_array(2, 3, 4, 6), lambda s: sample_windows(s, (2, 2)), 2),
        sample("three axes", sample_array(2, 4, 3, 4), lambda s: sample_windows(s, (2, 2, 3), (2, 1, 1)), 3),
        sample("large windows", sample_array(2, 7, 6), lambda s: sample_windows(s, (7, 6)), 2),
        sample("no items", sample_array(2), lambda s: sample_windows(s, (2,), (1,), (1,), (3,)), 1, of_nothing),
        sample("items of size 1", sample_array(3, 1), lambda s: sample_windows(s, (1,)), 1),
        sample("empty", sample_array(0, 3, 4), lambda s: sample_windows(s, (2, 2)), 2),
        sample("bins", sample_array(2, 7, 5), lambda s: Bins(s, (3, 4)), 2),
        sample("more bins than items", sample_array(2, 3), lambda s: Bins(s, (5,)), 1),
        sample("no bins", sample_array(2, 3), lambda s: Bins(s, (0,)), 1),
    ]


def _max_samples() -> list[Sample]:
    def pool(x: Value) -> tuple[Value, Value]:
        return max_pool(x, sample_windows(x.shape[1:], (3,), (1,)))

    holes = np.array([[np.nan, 1.0, np.nan, 3.0, np.nan, 5.0, 2.0, -np.inf]])
    return [
        *_samples(max_pool, of_nothing=False),
        Sample(pool, (_ties(),), (0,), smooth=False, label="ties"),
        Sample(pool, (holes,), label="NaN"),
    ]


def _found_samples(pool: Callable[[Value, Value, PoolAttrs], Value], back: bool) -> list[Sample]:
    """Samples of operations on positions that were found."""
    found = np.array([[[0, 2], [5, 7]], [[-1, 3], [4, 6]]], np.int32)
    x = sample_array(2, *((2, 2) if back else (2, 4)))
    windows = Windows((2, 4), (2, 2), (2, 3), (1, 2), (1, 0), (1, 1))
    return [
        Sample(lambda x, at: pool(x, at, windows), (x, found), (0,), label="windows"),
        Sample(lambda x, at: pool(x, at, Bins((2, 4), (2, 2))), (x, found), (0,), label="bins"),
        Sample(lambda x, at: pool(x, at, windows), (x[:0], found[:0]), (0,), label="empty"),
    ]


def _max_vjp(node: Node, g: Value | None, _: Value | None) -> tuple[Value | None]:
    return (None if g is None else max_pool_grad(g, node.outputs[1], node.attrs),)


MAX_POOL: OpDef = registry.add(
    OpDef(
        "max_pool",
        "The first maximum of each window, or its last NaN, and its position in the flattened pooled axes.",
        infer=_infer_max,
        evaluate=_evaluate_max,
        vjp=_max_vjp,
        attrs=PoolAttrs,
        needs_items=True,
        samples=_max_samples,
    )
)
MAX_POOL_GRAD: OpDef = registry.add(
    OpDef(
        "max_pool_grad",
        "An item for each window added at the position that was found in it: the adjoint of max_pool_pick.",
        infer=_infer_max_grad,
        evaluate=lambda attrs, g, found: _scattered(attrs, g, _flat(attrs, found)[..., None]),
        vjp=lambda node, g: (max_pool_pick(g, node.inputs[1], node.attrs), None),
        attrs=PoolAttrs,
        needs_items=True,
        samples=lambda: _found_samples(max_pool_grad, back=True),
    )
)
MAX_POOL_PICK: OpDef = registry.add(
    OpDef(
        "max_pool_pick",
        "The item at the position that was found in each window; 0 for -1.",
        infer=_infer_pick,
        evaluate=_evaluate_pick,
        vjp=lambda node, g: (max_pool_grad(g, node.inputs[1], node.attrs), None),
        attrs=PoolAttrs,
        needs_items=True,
        samples=lambda: _found_samples(max_pool_pick, back=False),
    )
)
SUM_POOL: OpDef = registry.add(
    OpDef(
        "sum_pool",
        "The sum of each window.",
        infer=_infer_sum,
        evaluate=_evaluate_sum,
        vjp=lambda node, g: (sum_pool_grad(g, node.attrs),),
        attrs=PoolAttrs,
        needs_items=True,
        samples=lambda: _samples(sum_pool),
    )
)
SUM_POOL_GRAD: OpDef = registry.add(
    OpDef(
        "sum_pool_grad",
        "Each window's item added to all items of the window: the adjoint of sum_pool.",
        infer=_infer_sum_grad,
        evaluate=lambda attrs, g: _scattered(attrs, g, _members(attrs)[0][None]),
        vjp=lambda node, g: (sum_pool(g, node.attrs),),
        attrs=PoolAttrs,
        needs_items=True,
        samples=lambda: _samples(lambda x, attrs: sum_pool_grad(sum_pool(x, attrs), attrs)),
    )
)


def max_pool(x: Value, attrs: PoolAttrs) -> tuple[Value, Value]:
    """The largest item of each window, and its position."""
    values, found = apply(MAX_POOL, (x,), attrs).outputs
    return values, found


def max_pool_grad(g: Value, found: Value, attrs: PoolAttrs) -> Value:
    """Items added where :func:`max_pool` found their windows' largest."""
    return apply_one(MAX_POOL_GRAD, (g, found), attrs)


def max_pool_pick(x: Value, found: Value, attrs: PoolAttrs) -> Value:
    """The items where :func:`max_pool` found the largest ones of another operand."""
    return apply_one(MAX_POOL_PICK, (x, found), attrs)


def sum_pool(x: Value, attrs: PoolAttrs) -> Value:
    """The sum of each window."""
    return apply_one(SUM_POOL, (x,), attrs)


def sum_pool_grad(g: Value, attrs: PoolAttrs) -> Value:
    """Items added to all items of their windows."""
    return apply_one(SUM_POOL_GRAD, (g,), attrs)
