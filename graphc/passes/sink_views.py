"""Transposition of what all steps of a loop share, done where products read it.

A product reads a matrix as it lies, transposed or not; as an operand of a loop, a transposed one would be copied before
the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.ir import ops
from graphc.ir.build import apply
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.ops.leaves import placeholder
from graphc.ir.ops.scan import ScanAttrs
from graphc.ir.substitute import substitute
from graphc.passes.rewrite import Matcher, rewrite, rewrite_bodies
from graphc.passes.simplify import Simplify
from graphc.record import record

__all__ = ["SinkViews"]


@record
class SinkViews:
    """Move the transpositions of operands that are the same for all steps of a ``scan`` into its step.

    An operand is moved if all that reads it are matrix products.
    """

    name: str = "sink_views"

    def __call__(self, graph: Graph) -> Graph:
        """The graph whose loops read matrices as they lie."""

        def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
            inside = rewrite_bodies(node, self) if node.op.name != "fused" else None
            return _sunk(node if inside is None else inside[0].node) or inside

        return rewrite(graph, rule)


def _sunk(node: Node) -> Sequence[Value] | None:
    if not isinstance(node.attrs, ScanAttrs):
        return None
    body: Graph = node.attrs.body
    outside, inside, views = list(node.inputs), list(body.inputs), {}
    for place, (value, old) in enumerate(zip(node.inputs[: node.attrs.constants], body.inputs, strict=False)):
        if value.node.op.name == "transpose" and _is_factor(old, body):
            (outside[place],) = value.node.inputs
            inside[place] = placeholder(outside[place].shape, value.dtype)
            views[old] = ops.transpose(inside[place], value.node.attrs.axes)
    if not views:
        return None
    step = Simplify()(Graph.of(inside, substitute(body.outputs, views)))
    return apply(node.op, outside, replace(node.attrs, body=step)).outputs


def _is_factor(value: Value, body: Graph) -> bool:
    """Whether products of matrices alone read a value, as it is or transposed."""
    return value not in set(body.outputs) and all(
        user.op.name == "matmul" or (user.op.name == "transpose" and _is_factor(user.output, body))
        for user in body.users[value]
    )
