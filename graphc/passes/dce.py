"""Dead code elimination: keeps what the results depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.ir.build import apply, rebuild
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.op import Trimmed
from graphc.ir.source import origin
from graphc.record import record

__all__ = ["Dce"]


@record
class Dce:
    """Remove what no result depends on: nodes, updates that give a variable the value it has, unused parts of loops."""

    name: str = "dce"

    def __call__(self, graph: Graph) -> Graph:
        """The graph of what is needed, in the same order."""
        updates = tuple((variable, value) for variable, value in graph.updates if value is not variable)
        live = {*graph.inputs, *graph.outputs, *(value for pair in updates for value in pair)}
        kept: list[Node] = []
        trimmed: dict[Node, Trimmed] = {}
        for node in reversed(graph.nodes):
            used = [place for place, value in enumerate(node.outputs) if value in live]
            if not used:
                continue
            kept.append(node)
            less = node.op.trim(node, used, self) if node.op.trim is not None else None
            if less is not None:
                trimmed[node] = less
            live.update(node.inputs if less is None else [node.inputs[place] for place in less.inputs])
        if len(kept) == len(graph.nodes) and len(updates) == len(graph.updates) and not trimmed:
            return graph
        result = replace(graph, updates=updates, nodes=tuple(reversed(kept)))
        return _without_parts(result, trimmed) if trimmed else result


def _without_parts(graph: Graph, trimmed: dict[Node, Trimmed]) -> Graph:
    """The graph with some nodes in their trimmed form."""
    known: dict[Value, Value] = {}

    def current(values: Sequence[Value]) -> list[Value]:
        return [known.get(value, value) for value in values]

    nodes = []
    for node in graph.nodes:
        inputs, less = current(node.inputs), trimmed.get(node)
        fresh, outputs = node, list(node.outputs)
        if less is not None:
            with origin(node.origin):
                fresh = apply(node.op, [inputs[place] for place in less.inputs], less.attrs)
            outputs = [node.outputs[place] for place in less.outputs]
        elif any(new is not old for new, old in zip(inputs, node.inputs, strict=True)):
            fresh = rebuild(node, inputs)
        nodes.append(fresh)
        if fresh is not node:
            known.update(zip(outputs, fresh.outputs, strict=True))
    variables = [variable for variable, _ in graph.updates]
    updates = zip(variables, current([value for _, value in graph.updates]), strict=True)
    return Graph(graph.inputs, tuple(current(graph.outputs)), tuple(updates), tuple(nodes))
