"""Common subexpression elimination: equal operations on equal inputs are computed once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from graphc.ir.graph import Graph, Node, Value
from graphc.passes.rewrite import Matcher, rewrite

__all__ = ["Cse"]


@dataclass(frozen=True)
class Cse:
    """Replace a node by an earlier one with the same operation, attributes and inputs."""

    name: str = "cse"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with one node for each value."""
        first: dict[Hashable, Node] = {}

        def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
            if node.op.name in ("placeholder", "variable"):
                return None
            inputs = tuple(map(id, node.inputs))
            types = tuple(value.type for value in node.outputs)
            key = (node.op.name, node.attrs, types, tuple(sorted(inputs)) if node.op.commutative else inputs)
            original = first.setdefault(key, node)
            return None if original is node else original.outputs

        return rewrite(graph, rule)
