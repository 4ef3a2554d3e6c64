"""Dead code elimination: keeps what the results depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graphc.ir.graph import Graph, reachable

__all__ = ["Dce"]


@dataclass(frozen=True)
class Dce:
    """Remove the nodes that no result depends on, and updates that give a variable the value it has."""

    name: str = "dce"

    def __call__(self, graph: Graph) -> Graph:
        """The graph of what is needed, in the same order."""
        updates = tuple((variable, value) for variable, value in graph.updates if value is not variable)
        roots = [*graph.inputs, *graph.outputs, *(value for pair in updates for value in pair)]
        needed = set(reachable(roots))
        if len(needed) == len(graph.nodes) and len(updates) == len(graph.updates):
            return graph
        return replace(graph, updates=updates, nodes=tuple(node for node in graph.nodes if node in needed))
