"""What surrounds the pooling of maxima: computed for the items that are left, which are a fraction of all."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir import ops
from graphc.ir.graph import Node, Value
from graphc.ir.ops.pool import PoolAttrs, Windows, max_pool
from graphc.ir.source import origin
from graphc.passes.rewrite import Matcher

__all__ = ["pool_first", "sum_of_scattered"]


def pool_first(node: Node, matcher: Matcher) -> Sequence[Value] | None:
    """The largest of ``relu(x)`` is ``relu`` of the largest ``x``.

    The items that ``relu`` makes equal have no gradient, so it makes no difference which of them is found.
    """
    relu = matcher.producer(node.inputs[0], "relu")
    if relu is None or matcher.shared(node.inputs[0]) or not _has_items(node.attrs):
        return None
    values, found = max_pool(relu.inputs[0], node.attrs)
    with origin(relu.origin):
        return ops.relu(values), found


def _has_items(attrs: PoolAttrs) -> bool:
    """Whether every window has an item: the items of one that is padded and dilated may all be beyond the axis."""
    if not isinstance(attrs, Windows):
        return True
    return all(low == 0 or gap == 1 for low, gap in zip(attrs.padding, attrs.dilations, strict=True))


def sum_of_scattered(node: Node, matcher: Matcher) -> Value | None:
    """The sum of what pooling hands back to its items is the sum of what it was handed, window by window."""
    source = matcher.producer(node.inputs[0], "max_pool_grad")
    if source is None or not _has_items(source.attrs):
        return None
    g, ndim = source.inputs[0], node.inputs[0].ndim
    if not set(range(ndim - len(source.attrs.inputs), ndim)) <= set(node.attrs.axes):
        return None
    return ops.sum(g, node.attrs.axes, node.attrs.keepdims)
