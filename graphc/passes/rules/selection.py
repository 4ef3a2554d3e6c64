"""Rows chosen by indices, and then all computed with alike: computed with once each, then chosen.

Symbols of a small alphabet are chosen from a table of rows many times over. Where the step of a training multiplies the
chosen rows by a weight, the product of the whole table takes less time, and so do its gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir import ops
from graphc.ir.dims import Size, bind, symbols
from graphc.ir.graph import Node, Value
from graphc.ir.source import origin
from graphc.passes.rewrite import Matcher

__all__ = ["add_to_chosen_rows", "product_of_chosen_rows"]

_NOMINAL = 64
"""What an open size counts for: a batch for training has so many examples."""

_OFTEN = 4
"""How often each row is chosen, on average at least, so that this pays."""


def product_of_chosen_rows(node: Node, matcher: Matcher) -> Value | None:
    """``take(table, i) @ w`` is ``take(table @ w, i)``.

    Rows that are not chosen count as zeros: what they hold must not reach a gradient as 0 * inf.
    """
    x, w = node.inputs
    found = _chosen_rows(x, matcher) if w.ndim == 2 and x.dtype.is_float else None
    if found is None:
        return None
    choice, views = found
    table, indices = choice.inputs
    rows = table.shape[0]
    with origin(choice.origin):  # a bad index is found here, at its place in the indices as they were given
        indices = ops.take(ops.arange(rows), indices)
    moved = _seen(indices, views)
    if moved is None:
        return None
    flat = ops.reshape(indices, (indices.size,))
    chosen = ops.index_add(ops.zeros((rows,), table.dtype), flat, ops.ones(flat.shape, table.dtype)) > 0
    used = ops.where(ops.expand_dims(chosen, 1), table, 0)
    return ops.take(ops.matmul(used, w), moved, axis=0)


def add_to_chosen_rows(node: Node, matcher: Matcher) -> Value | None:
    """``take(table, i) + row`` is ``take(table + row, i)``."""
    for x, given in (node.inputs, node.inputs[::-1]):
        source = matcher.producer(given, "broadcast_to")
        row = given if source is None else source.inputs[0]
        fits = x.shape == node.output.shape and row.ndim == 1 and row.shape[0] == x.shape[-1]
        found = _chosen_rows(x, matcher) if fits else None
        if found is None or any(view.op.name != "reshape" for view in found[1]):
            continue
        choice, views = found
        table, indices = choice.inputs
        moved = _seen(indices, views)
        if moved is not None:
            with origin(choice.origin):
                return ops.take(ops.add(table, row), moved, axis=0)
    return None


def _chosen_rows(value: Value, matcher: Matcher) -> tuple[Node, list[Node]] | None:
    """The ``take`` of rows of a matrix that a value is, and the views between them; if training repeats rows often."""
    if not matcher.differentiates:
        return None
    views: list[Node] = []
    node = matcher.producer(value, "reshape", "transpose", "take")
    while node is not None and node.op.view:
        views.append(node)
        node = matcher.producer(node.inputs[0], "reshape", "transpose", "take")
    if node is None or node.attrs.axis != 0 or node.inputs[0].ndim != 2:
        return None
    table, indices = node.inputs
    often = _OFTEN * _nominal(table.shape[0]) <= _nominal(indices.size)
    return (node, views[::-1]) if often else None


def _seen(indices: Value, views: Sequence[Node]) -> Value | None:
    """Indices in the arrangement that views give the rows that they choose; None where a view takes rows apart."""
    for view in views:
        before, after = view.inputs[0], view.output
        if view.op.name == "reshape" and after.ndim and after.shape[-1] == before.shape[-1]:
            indices = ops.reshape(indices, after.shape[:-1])
        elif view.op.name == "transpose" and view.attrs.axes[-1] == before.ndim - 1:
            indices = ops.transpose(indices, view.attrs.axes[:-1])
        else:
            return None
    return indices


def _nominal(size: Size) -> int:
    return size if isinstance(size, int) else bind(size, {symbol.name: _NOMINAL for symbol in symbols(size)})
