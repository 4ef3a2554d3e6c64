"""Common subexpression elimination: equal operations on equal inputs are computed once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import fields
from typing import Any

from graphc.ir.bodies import bodies
from graphc.ir.graph import Graph, Node, Value
from graphc.passes.rewrite import Matcher, rewrite, rewrite_bodies
from graphc.record import record

__all__ = ["Cse"]


@record
class Cse:
    """Replace a node by an earlier one with the same operation, attributes and inputs.

    Graphs inside nodes are the same where they compute the same in the same order. Of the results of a loop or a choice
    that are one value inside, one is read.
    """

    name: str = "cse"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with one node for each value."""
        first: dict[Hashable, Sequence[Value]] = {}

        def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
            if node.op.name in ("placeholder", "variable"):
                return None
            outputs = rewrite_bodies(node, self) or node.outputs
            inputs = tuple(map(id, node.inputs))
            types = tuple(value.type for value in outputs)
            key = (*_function(outputs[0].node), types, tuple(sorted(inputs)) if node.op.commutative else inputs)
            original = first.setdefault(key, _distinct(outputs))
            return None if all(new is old for new, old in zip(original, node.outputs, strict=True)) else original

        return rewrite(graph, rule)


def _distinct(outputs: Sequence[Value]) -> Sequence[Value]:
    """The results of a node; of a loop or a choice, one of those that are the same value of its graphs for all."""
    node = outputs[0].node
    united = None if node.op.merge is None else node.op.merge(node, node)
    return outputs if united is None else [outputs[place] for place in united[1]]


def _function(node: Node) -> tuple[Hashable, ...]:
    """What a node makes of its inputs: equal for nodes that do the same."""
    if not bodies(node):
        return node.op.name, node.attrs
    attributes = ((field.name, getattr(node.attrs, field.name)) for field in fields(node.attrs))
    return node.op.name, *((name, _comparable(value)) for name, value in attributes)


def _comparable(attribute: Any) -> Hashable:
    if isinstance(attribute, tuple):
        return tuple(map(_comparable, attribute))
    return _structure(attribute) if isinstance(attribute, Graph) else attribute


def _structure(graph: Graph) -> Hashable:
    """The nodes of a graph in terms of each other's places: equal for graphs that do the same."""
    place = {value: number for number, value in enumerate(value for node in graph.nodes for value in node.outputs)}
    functions = []
    for node in graph.nodes:
        what = ("placeholder",) if node.op.name == "placeholder" else _function(node)
        functions.append((what, tuple(v.type for v in node.outputs), tuple(place[value] for value in node.inputs)))
    return tuple(functions), tuple(place[v] for v in graph.inputs), tuple(place[v] for v in graph.outputs)
