"""A graph as networkx sees it, for questions that networkx answers: paths, order, reachability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from graphc.ir.graph import Graph, Node

if TYPE_CHECKING:
    import networkx

    Network: TypeAlias = networkx.MultiDiGraph[int]

__all__ = ["critical_path", "to_networkx"]


def to_networkx(graph: Graph) -> Network:
    """The graph as a ``networkx.MultiDiGraph``.

    Its nodes are the positions of the graph's nodes, with the attributes ``node``, ``op``, ``phase`` and ``scope``; an
    edge goes from a node to each that reads one of its outputs, with the attributes ``value``, ``dtype`` and ``shape``.
    """
    import networkx

    position = {node: number for number, node in enumerate(graph.nodes)}
    network: Any = networkx.MultiDiGraph()
    for number, node in enumerate(graph.nodes):
        network.add_node(number, node=node, op=node.op.name, phase=node.phase, scope=node.scope)
        for value in node.inputs:
            network.add_edge(
                position[value.node], number, value=value, dtype=str(value.dtype), shape=tuple(map(str, value.shape))
            )
    return network


def critical_path(graph: Graph) -> tuple[Node, ...]:
    """The longest chain of nodes in which each reads the one before: what no parallelism shortens."""
    import networkx

    network = to_networkx(graph)
    return tuple(graph.nodes[number] for number in networkx.dag_longest_path(network, weight=None))
