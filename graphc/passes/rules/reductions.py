"""Reductions of what need not be reduced. Sums and products are done in another order, which changes roundings."""

from __future__ import annotations

from graphc.ir import ops
from graphc.ir.build import apply_one
from graphc.ir.dims import product
from graphc.ir.graph import Node, Value
from graphc.ir.ops.reduce import ReduceAttrs
from graphc.passes.rewrite import Matcher
from graphc.passes.rules.constants import literal

__all__ = ["reduce_again", "reduce_broadcast", "reduce_single_items"]


def reduce_single_items(node: Node, matcher: Matcher) -> Value | None:
    """A reduction of one item each is that item."""
    (x,) = node.inputs
    if any(x.shape[axis] != 1 for axis in node.attrs.axes):
        return None
    return ops.reshape(x, node.output.shape)


def reduce_broadcast(node: Node, matcher: Matcher) -> Value | None:
    """A sum of n equal items is n times the item; the largest of them, or any, is the item itself.

    Where n is known and not 0: infinity times 0 is not a sum of nothing.
    """
    source = matcher.producer(node.inputs[0], "broadcast_to")
    if source is None:
        return None
    (x,), shape = source.inputs, node.inputs[0].shape
    own = (1,) * (len(shape) - x.ndim) + x.shape
    repeated = [shape[axis] for axis in node.attrs.axes if own[axis] == 1 and shape[axis] != 1]
    count = product(repeated)
    if not repeated or not isinstance(count, int) or count == 0:
        return None
    reduced = apply_one(node.op, (ops.reshape(x, own),), node.attrs)
    if node.op.name == "sum":
        reduced = ops.multiply(reduced, literal(count, x.dtype))
    return reduced


def reduce_again(node: Node, matcher: Matcher) -> Value | None:
    """Two reductions of one kind are one.

    Not for max and min: among ties, the gradient is shared first within, then between the groups of the inner one.
    """
    inner = matcher.producer(node.inputs[0], node.op.name)
    if inner is None or matcher.shared(node.inputs[0]):
        return None
    (x,) = inner.inputs
    left = range(x.ndim) if inner.attrs.keepdims else [axis for axis in range(x.ndim) if axis not in inner.attrs.axes]
    axes = {*inner.attrs.axes, *(left[axis] for axis in node.attrs.axes)}
    reduced = apply_one(node.op, (x,), ReduceAttrs(tuple(sorted(axes)), node.attrs.keepdims))
    return ops.reshape(reduced, node.output.shape)
