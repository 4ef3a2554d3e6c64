"""Loops and choices of the same steps on the same operands, as one node with the outputs of all of them.

Differentiation makes them: the gradient of a loop reads values of each step, which a second loop beside the first hands
out.
"""

from __future__ import annotations

from graphc.ir.build import apply, rebuild
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.source import origin
from graphc.passes.rewrite import in_bodies

__all__ = ["merged"]


def merged(graph: Graph) -> Graph:
    """The graph, and those that its nodes hold, with one node for all that belong together."""
    return in_bodies(_merged(graph), merged)  # steps that are the same as written may no longer be so once merged


def _merged(graph: Graph) -> Graph:
    groups: dict[tuple[str, tuple[int, ...]], list[Node]] = {}
    for node in graph.nodes:
        if node.op.merge is not None:
            groups.setdefault((node.op.name, tuple(map(id, node.inputs))), []).append(node)
    leader: dict[Node, tuple[Node, tuple[int, ...]]] = {}
    united: dict[Node, Node] = {}
    for group in groups.values():
        _unite(group, leader, united)
    if not leader:
        return graph
    known: dict[Value, Value] = {}
    nodes = []
    for node in graph.nodes:
        if node in leader:
            first, places = leader[node]
            known.update(
                (old, known[united[first].outputs[place]]) for old, place in zip(node.outputs, places, strict=True)
            )
            continue
        whole = united.get(node, node)
        inputs = [known.get(value, value) for value in node.inputs]
        fresh = whole if all(a is b for a, b in zip(inputs, whole.inputs, strict=True)) else rebuild(whole, inputs)
        nodes.append(fresh)
        known.update(zip(whole.outputs, fresh.outputs, strict=True))
        known.update(zip(node.outputs, fresh.outputs, strict=False))
    return Graph(
        graph.inputs,
        tuple(known[value] for value in graph.outputs),
        tuple((variable, known[value]) for variable, value in graph.updates),
        tuple(nodes),
    )


def _unite(group: list[Node], leader: dict[Node, tuple[Node, tuple[int, ...]]], united: dict[Node, Node]) -> None:
    """Note for nodes with the same inputs which of them are one: the first of them, which ``united`` replaces."""
    firsts: list[Node] = []
    for node in group:
        for first in firsts:
            whole = united.get(first, first)
            assert node.op.merge is not None
            found = node.op.merge(whole, node)
            if found is not None:
                attrs, places = found
                with origin(first.origin):
                    united[first] = apply(node.op, first.inputs, attrs)
                leader[node] = first, places
                break
        else:
            firsts.append(node)
