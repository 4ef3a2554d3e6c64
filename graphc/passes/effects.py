"""Updates that travel with values become updates of the graph, before any pass runs: no pass knows of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from graphc.errors import GraphError
from graphc.ir.bodies import bodies
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.substitute import substitute
from graphc.passes.autodiff import distinct
from graphc.passes.rewrite import Matcher, rewrite

__all__ = ["collect_effects", "without_effects"]

_EFFECT = "with_updates"


def collect_effects(graph: Graph, named: Collection[Value] = ()) -> Graph:
    """The graph with its effects among its updates.

    Several effects on one variable follow each other: later ones compute with what the earlier ones make.

    Args:
        graph: the graph as written. Where an effect and an update of the graph are of one variable, the effect stands.
        named: variables whose updates stand instead of any effect.

    Raises:
        GraphError: a graph inside a node holds an effect.
    """
    _refuse_in_bodies(graph)
    effects = sorted((node for node in graph.nodes if node.op.name == _EFFECT), key=lambda node: node.attrs.number)
    if not effects:
        return graph
    next_values = [value for node in effects for value in node.inputs[1:]]
    bare = without_effects(replace(graph, outputs=(*graph.outputs, *next_values)))
    count = len(graph.outputs)
    remaining = iter(bare.outputs[count:])
    current: dict[Value, Value] = {}
    for node in effects:
        own = [next(remaining) for _ in node.attrs.variables]
        made = zip(node.attrs.variables, substitute(own, current), strict=True)
        current |= {variable: value for variable, value in made if variable not in named}
    return Graph.of(bare.inputs, bare.outputs[:count], dict(bare.updates) | current)


def without_effects(graph: Graph) -> Graph:
    """The graph as if no value had updates; the same graph if none has."""
    return rewrite(graph, _erase, protect=False)


def _erase(node: Node, matcher: Matcher) -> Sequence[Value] | None:
    if node.op.name != _EFFECT:
        return None
    return [distinct(node.inputs[0]) if matcher.hidden(node.output) else node.inputs[0]]


def _refuse_in_bodies(graph: Graph) -> None:
    for node in graph.nodes:
        for name, body in bodies(node):
            for inner in body.nodes:
                if inner.op.name == _EFFECT:
                    raise GraphError(
                        f"an update of {inner.attrs.variables[0]!r} stands in the graph {name} of {node.op.name}",
                        expected="updates outside of the functions of loops, conditions and custom gradients",
                        remedy="let the function return what the update is made of; use layers with running statistics "
                        "in evaluation mode there",
                        location=inner.location,
                    )
            _refuse_in_bodies(body)
