"""Symbolic differentiation: expands ``grad`` and ``jvp`` nodes into ordinary graph.

Reverse mode: the nodes between the outputs and the values to differentiate by are visited once each, users first; the
cotangents that a value receives from its users are summed. Forward mode is reverse mode twice: the product of the
Jacobian with cotangents is linear in the cotangents, and its transpose is the product with tangents (Townsend 2017,
"A new trick for calculating Jacobian vector products").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphc.errors import GradientError, GraphError
from graphc.ir import ops
from graphc.ir.build import apply_one
from graphc.ir.graph import Graph, Node, Value, reachable
from graphc.ir.ops.shape import RESHAPE, ShapeAttrs
from graphc.ir.source import origin, phase
from graphc.ir.types import TensorType
from graphc.passes.rewrite import Matcher, rewrite, rewrite_bodies

__all__ = ["Autodiff", "pullback"]


@dataclass(frozen=True)
class Autodiff:
    """Expand derivatives, then drop the markers that only differentiation reads."""

    name: str = "autodiff"

    def __call__(self, graph: Graph) -> Graph:
        """The graph without derivatives to be expanded, and without markers."""
        return _erased(_expanded(graph))


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
        _distinct(result) if matcher.hidden(value) else result
        for value, result in zip(node.outputs, results, strict=True)
    ]


def _distinct(value: Value) -> Value:
    """A value of its own, equal to ``value``: a derivative that something else is differentiated by."""
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
    if not {probe.node for probe in probes}.isdisjoint(reachable(results)):
        raise GradientError(
            "jvp goes through a custom gradient that is not linear in its cotangent",
            expected="cotangents that are sums of multiples of the given one, of which there is a transpose",
            remedy="use gr.vjp, or differentiate without the custom gradient",
        )
    return results


def pullback(outputs: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value]) -> list[Value]:
    """For each value of ``wrt``, the sum over outputs of cotangent times derivative; zeros where there is none."""
    active = _dependents(outputs, frozenset(wrt))
    received: dict[Value, list[Value]] = {}
    for output, given in zip(outputs, cotangents, strict=True):
        received.setdefault(output, []).append(given)
    summed: dict[Value, Value] = {}
    for node in reversed(active):
        totals = [_sum(received.pop(value), value, summed) if value in received else None for value in node.outputs]
        if all(total is None for total in totals):
            continue
        with origin(replace(node.origin, phase="backward")):
            for operand, cotangent in zip(node.inputs, _cotangents(node, totals), strict=True):
                if cotangent is not None and operand.dtype.is_float:
                    received.setdefault(operand, []).append(_fit(cotangent, operand.type, node))
    for value in wrt:
        if value in received:
            _sum(received.pop(value), value, summed)
    with phase("backward"):
        return [summed[value] if value in summed else ops.zeros_like(value) for value in wrt]


def _dependents(outputs: Sequence[Value], wrt: frozenset[Value]) -> list[Node]:
    """The nodes through which the outputs depend on ``wrt``, each after its inputs."""
    active: set[Node] = set()
    order = []
    for node in reachable(outputs):
        if any(value in wrt or value.node in active for value in node.inputs):
            active.add(node)
            order.append(node)
    return order


def _sum(contributions: Sequence[Value], value: Value, summed: dict[Value, Value]) -> Value:
    with origin(replace(value.node.origin, phase="backward")):
        total = contributions[0]
        for contribution in contributions[1:]:
            total = ops.add(total, contribution)
    summed[value] = total
    return total


def _cotangents(node: Node, given: Sequence[Value | None]) -> Sequence[Value | None]:
    result = node.op.vjp(node, *given)
    if len(result) != len(node.inputs):
        raise GraphError(
            f"the vjp of {node.op.name} gave {len(result)} cotangents",
            expected=f"{len(node.inputs)}, one for each input",
            location=node.location,
        )
    return result


def _fit(cotangent: Value, type: TensorType, node: Node) -> Value:
    """A cotangent summed back over the axes that broadcasting added or stretched, or spread over those it lacks."""
    if cotangent.dtype != type.dtype:
        raise GraphError(
            f"the vjp of {node.op.name} gave a cotangent of dtype {cotangent.dtype}",
            expected=f"{type.dtype}, the dtype of the input",
            location=node.location,
        )
    if cotangent.shape == type.shape:
        return cotangent
    extra = cotangent.ndim - type.rank
    if extra >= 0:
        padded = (1,) * extra + type.shape
        pairs = enumerate(zip(cotangent.shape, padded, strict=True))
        spread = [axis for axis, (size, own) in pairs if own == 1 and (axis < extra or size != 1)]
        if spread:
            cotangent = ops.sum(cotangent, axis=spread, keepdims=True)
            cotangent = ops.reshape(cotangent, cotangent.shape[extra:])
    return cotangent if cotangent.shape == type.shape else ops.broadcast_to(cotangent, type.shape)
