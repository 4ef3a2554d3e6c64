"""Broadcasting, and the same items under other axes. No number changes, but for the rounding of products."""

from __future__ import annotations

import itertools
from dataclasses import replace

from graphc.ir import ops
from graphc.ir.build import apply_one
from graphc.ir.graph import Node, Value
from graphc.ir.ops.assemble import CONCATENATE, ConcatenateAttrs, slice_axes
from graphc.passes.rewrite import Matcher
from graphc.passes.rules.constants import literal, scalar_of

__all__ = [
    "add_side_by_side",
    "broadcast_again",
    "broadcast_last",
    "concatenate_parts",
    "pad_nothing",
    "reshape_again",
    "slice_again",
    "slice_of_part",
    "transpose_again",
    "transpose_of_product",
    "view_of_one_item",
]


def broadcast_last(node: Node, matcher: Matcher) -> Value | None:
    """An elementwise operation on operands that were broadcast: on the operands as they were, then broadcast."""
    operands = [_unspread(value, matcher) for value in node.inputs]
    if all(new is old for new, old in zip(operands, node.inputs, strict=True)):
        return None
    return apply_one(node.op, operands, node.attrs)


def _unspread(value: Value, matcher: Matcher) -> Value:
    if node := matcher.producer(value, "broadcast_to"):
        return node.inputs[0]
    number = scalar_of(value, matcher) if value.ndim else None
    return value if number is None else literal(number, value.dtype)


def view_of_one_item(node: Node, matcher: Matcher) -> Value | None:
    """A view of one item that was repeated repeats it."""
    source = matcher.producer(node.inputs[0], "broadcast_to")
    if source is None or any(size != 1 for size in source.inputs[0].shape):
        return None
    return ops.reshape(source.inputs[0], ())


def broadcast_again(node: Node, matcher: Matcher) -> Value | None:
    """Two broadcasts are one; so is one after new leading axes; one to the shape that there is is none."""
    (x,) = node.inputs
    if x.shape == node.output.shape:
        return x
    if x.ndim and (number := scalar_of(x, matcher)) is not None:
        return literal(number, x.dtype)
    if inner := matcher.producer(x, "broadcast_to"):
        return inner.inputs[0]
    inner = matcher.producer(x, "reshape")
    if inner and x.shape == (1,) * (x.ndim - inner.inputs[0].ndim) + inner.inputs[0].shape:
        return inner.inputs[0]
    return None


def reshape_again(node: Node, matcher: Matcher) -> Value | None:
    """Two reshapes are one; one to the shape that there is is none."""
    (x,) = node.inputs
    if x.shape == node.output.shape:
        return x
    inner = matcher.producer(x, "reshape")
    return ops.reshape(inner.inputs[0], node.output.shape) if inner else None


def transpose_again(node: Node, matcher: Matcher) -> Value | None:
    """Two transposes are one; one that leaves the axes in their order is none."""
    (x,) = node.inputs
    axes = node.attrs.axes
    if axes == tuple(range(x.ndim)):
        return x
    inner = matcher.producer(x, "transpose")
    return ops.transpose(inner.inputs[0], [inner.attrs.axes[axis] for axis in axes]) if inner else None


def transpose_of_product(node: Node, matcher: Matcher) -> Value | None:
    """``(a @ b).T`` is ``b.T @ a.T``: rows that are read as the last axis are made as the last axis."""
    product = matcher.producer(node.inputs[0], "matmul")
    rows, columns = node.output.ndim - 2, node.output.ndim - 1
    if product is None or node.attrs.axes[-1] != rows or matcher.shared(node.inputs[0]):
        return None
    a, b = product.inputs
    swapped = {rows: columns, columns: rows}
    axes = [swapped.get(axis, axis) for axis in node.attrs.axes]
    return ops.transpose(ops.matmul(ops.swapaxes(b, -1, -2), ops.swapaxes(a, -1, -2)), axes)


def slice_again(node: Node, matcher: Matcher) -> Value | None:
    """Two slices are one; one of everything is none."""
    (x,) = node.inputs
    attrs = node.attrs
    if set(attrs.steps) <= {1} and set(attrs.starts) <= {0} and attrs.sizes == x.shape:
        return x
    inner = matcher.producer(x, "slice")
    if inner is None:
        return None
    starts = [
        first + start * step
        for first, start, step in zip(inner.attrs.starts, attrs.starts, inner.attrs.steps, strict=True)
    ]
    steps = [first * second for first, second in zip(inner.attrs.steps, attrs.steps, strict=True)]
    return slice_axes(inner.inputs[0], starts, attrs.sizes, steps)


def slice_of_part(node: Node, matcher: Matcher) -> Value | None:
    """A slice of one part of a concatenation is a slice of that part."""
    joined = matcher.producer(node.inputs[0], "concatenate")
    if joined is None:
        return None
    axis = joined.attrs.axis
    start, count, step = node.attrs.starts[axis], node.attrs.sizes[axis], node.attrs.steps[axis]
    if not (isinstance(start, int) and isinstance(count, int) and count):
        return None
    first, last = sorted((start, start + (count - 1) * step))
    offset = 0
    for part in joined.inputs:
        size = part.shape[axis]
        if not isinstance(size, int):
            return None
        if offset <= first and last < offset + size:
            starts = [begin - offset if at == axis else begin for at, begin in enumerate(node.attrs.starts)]
            return slice_axes(part, starts, node.attrs.sizes, node.attrs.steps)
        offset += size
    return None


def concatenate_parts(node: Node, matcher: Matcher) -> Value | None:
    """Parts without items are left out, parts that are concatenations are taken apart; one part alone is the whole."""
    axis = node.attrs.axis
    parts: list[Value] = []
    for value in node.inputs:
        inner = matcher.producer(value, "concatenate")
        joined = inner is not None and inner.attrs == node.attrs and not matcher.shared(value)
        parts += inner.inputs if inner is not None and joined else [value]
    parts = [value for value in parts if value.shape[axis] != 0] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    return None if tuple(map(id, parts)) == tuple(map(id, node.inputs)) else apply_one(CONCATENATE, parts, node.attrs)


def add_side_by_side(node: Node, matcher: Matcher) -> Value | None:
    """In a sum, two arrays padded with zeros, one's items next to the other's, are their concatenation, padded."""
    terms = _terms(node, matcher)
    pads = [pad for value in terms if (pad := _padded_with_zeros(value, matcher))]
    for first, second in itertools.permutations(pads, 2):
        axes = [
            axis
            for axis in range(node.output.ndim)
            if (first.attrs.low[axis], first.attrs.high[axis]) != (second.attrs.low[axis], second.attrs.high[axis])
        ]
        if len(axes) != 1:
            continue
        (axis,), (part, zero) = axes, first.inputs
        if first.attrs.low[axis] + part.shape[axis] != second.attrs.low[axis]:
            continue
        joined = apply_one(CONCATENATE, (part, second.inputs[0]), ConcatenateAttrs(axis))
        high = tuple(second.attrs.high[at] if at == axis else size for at, size in enumerate(first.attrs.high))
        total = apply_one(first.op, (joined, zero), replace(first.attrs, high=high))
        for value in terms:
            if value.node is not first and value.node is not second:
                total = ops.add(total, value)
        return total
    return None


def _terms(node: Node, matcher: Matcher) -> list[Value]:
    """What a node adds up, as far as nothing else uses the parts of the sum and all have its shape."""
    terms: list[Value] = []
    stack = list(node.inputs[::-1])
    while stack:
        value = stack.pop()
        inner = None if matcher.shared(value) else matcher.producer(value, "add")
        if inner is not None and all(each.type == value.type for each in inner.inputs):
            stack += inner.inputs[::-1]
        else:
            terms.append(value)
    return terms


def _padded_with_zeros(value: Value, matcher: Matcher) -> Node | None:
    node = None if matcher.shared(value) else matcher.producer(value, "pad")
    return node if node and not any(node.attrs.interior) and scalar_of(node.inputs[1], matcher) == 0 else None


def pad_nothing(node: Node, matcher: Matcher) -> Value | None:
    """A pad of no width is none."""
    widths = {*node.attrs.low, *node.attrs.high, *node.attrs.interior}
    return node.inputs[0] if widths <= {0} else None
