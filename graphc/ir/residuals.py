"""What the gradient of a body needs of its forward values: kept, or cheaply computed again.

A value that the backward graph reads is kept unless it is a rearrangement, or a cheap elementwise function, of values
that are at hand anyway, or of one that takes no more memory (Chen et al. 2016, "Training deep nets with sublinear
memory cost", section 4: recompute what costs little).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence

from graphc.ir.closure import dependents, is_literal
from graphc.ir.dims import Dim, Size, product
from graphc.ir.graph import Value, reachable

__all__ = ["residuals"]

_CHEAP = 4
"""The cost of an elementwise operation, in additions, up to which its result is computed again rather than kept."""


def residuals(results: Sequence[Value], seeds: Sequence[Value], at_hand: Collection[Value]) -> list[Value]:
    """The values, none of which depends on ``seeds``, from which ``results`` are to be computed.

    Args:
        results: cotangents, and forward values that are wanted themselves.
        seeds: the cotangents that they are computed from.
        at_hand: values that cost nothing to read.
    """
    nodes = reachable(results)
    backward = dependents(results, seeds)
    own = set(seeds)
    place = {node: number for number, node in enumerate(nodes)}
    free = set(at_hand)
    kept: set[Value] = set()
    queue: list[tuple[int, int]] = []
    values: dict[tuple[int, int], Value] = {}

    def keep(value: Value) -> None:
        if value.node in backward or value in own or value in kept or is_literal(value):
            return
        kept.add(value)
        key = (-place[value.node], value.index)
        values[key] = value
        heapq.heappush(queue, key)

    def known(value: Value) -> bool:
        return value in kept or value in free or is_literal(value)

    wanted = {value for value in results if value.node not in backward}
    for node in nodes:
        if node in backward:
            for value in node.inputs:
                keep(value)
    for value in wanted:
        keep(value)
    while queue:  # users first: what is kept for them may make them cheap
        value = values[heapq.heappop(queue)]
        node = value.node
        if value in free or value in wanted or not node.inputs:
            continue
        if node.op.view:
            (source,) = node.inputs
            if known(source) or not _larger(source, value):
                kept.discard(value)
                keep(source)
        elif node.op.elementwise and node.op.cost <= _CHEAP:
            missing = {operand for operand in node.inputs if not known(operand)}
            if len(missing) < 2 and not any(_larger(operand, value) for operand in missing):
                kept.discard(value)
                for operand in missing:
                    keep(operand)
    return sorted(kept, key=lambda value: (place[value.node], value.index))


def _larger(source: Value, value: Value) -> bool:
    """Whether keeping the source instead of what is made of it may take more memory."""
    difference = _bytes(source) - _bytes(value)
    return isinstance(difference, Dim) or difference > 0


def _bytes(value: Value) -> Size:
    return product(value.shape) * value.dtype.itemsize
