"""Symbolic differentiation: expands ``grad`` and ``jvp`` nodes into ordinary graph.

Reverse mode stands in :mod:`graphc.ir.pullback`. Forward mode is reverse mode twice: the product of the Jacobian with
cotangents is linear in the cotangents, and its transpose is the product with tangents (Townsend 2017, "A new trick for
calculating Jacobian vector products").
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import GradientError
from graphc.ir import ops
from graphc.ir.build import apply_one
from graphc.ir.graph import Graph, Node, Value, reachable
from graphc.ir.ops.shape import RESHAPE, ShapeAttrs
from graphc.ir.pullback import pullback
from graphc.passes.dce import Dce
from graphc.passes.merge import merged
from graphc.passes.rewrite import Matcher, rewrite, rewrite_bodies
from graphc.record import record

__all__ = ["Autodiff", "distinct"]


@record
class Autodiff:
    """Expand derivatives, then merge loops, and drop the markers that only differentiation reads."""

    name: str = "autodiff"

    def __call__(self, graph: Graph) -> Graph:
        """The graph without derivatives to be expanded, and without markers."""
        return _erased(merged(_expanded(graph)))


def _expanded(graph: Graph) -> Graph:
    return rewrite(graph, _expand, protect=False)


def _erased(graph: Graph) -> Graph:
    while True:  # a custom gradient's function may hold markers of its own
        erased = rewrite(graph, _erase)
        if erased is graph:
            return graph
        graph = erased


def _expand(node: Node, matcher: Matcher) -> Sequence[Value] | None:
    if node.op.name not in ("grad", "jvp"):
        return rewrite_bodies(node, _expanded)
    count = node.attrs.outputs
    outputs = node.inputs[:count]
    if node.op.name == "grad":
        results = pullback(outputs, node.inputs[count : 2 * count], node.inputs[2 * count :])
    else:
        wrt = node.inputs[count : (count + len(node.inputs)) // 2]
        results = _pushforward(outputs, wrt, node.inputs[count + len(wrt) :])
    return [
        distinct(result) if matcher.hidden(value) else result
        for value, result in zip(node.outputs, results, strict=True)
    ]


def distinct(value: Value) -> Value:
    """A value of its own, equal to ``value``, where a derivative is taken by it."""
    return apply_one(RESHAPE, (value,), ShapeAttrs(value.shape))


def _erase(node: Node, matcher: Matcher) -> Sequence[Value] | None:
    if node.op.name == "stop_gradient":
        return node.inputs
    if node.op.name == "custom_gradient":
        assert node.op.decompose is not None
        return node.op.decompose(node)
    return rewrite_bodies(node, _erased)


def _pushforward(outputs: Sequence[Value], wrt: Sequence[Value], tangents: Sequence[Value]) -> list[Value]:
    """For each output, the sum over ``wrt`` of derivative times tangent."""
    probes = [ops.placeholder(value.shape, value.dtype) for value in outputs]
    results = pullback(pullback(outputs, probes, wrt), tangents, probes)
    # What is left of loops is linear: their derivatives by other values than the probes are not needed.
    results = list(Dce()(Graph.of((), results)).outputs)
    if not {probe.node for probe in probes}.isdisjoint(reachable(results)):
        raise GradientError(
            "jvp goes through a custom gradient that is not linear in its cotangent",
            expected="cotangents that are sums of multiples of the given one, of which there is a transpose",
            remedy="use gr.vjp, or differentiate without the custom gradient",
        )
    return results
