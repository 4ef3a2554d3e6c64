"""Recompute or store: what the backward graph needs of the forward graph and can cheaply compute again is not kept.

A value that the backward graph reads is written to memory in the forward graph, lies there until then, and is read
back. Where it is a few additions away from values that are kept in any case, computing it again costs less than that
traffic, and frees its memory; an exponential is kept. It is rematerialization (Briggs, Cooper & Torczon 1992), with the
prices of elementwise kernels, which wait for memory more than they compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from graphc.ir.build import apply, rebuild
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.source import origin
from graphc.record import record

__all__ = ["Recompute"]

_PRICE_OF_A_BYTE = 1
"""What it costs to write or to read a byte, in additions: four of either take about a tenth of a nanosecond."""

_LONGEST = 8
"""Chains of more operations cost more than they save."""


@record
class Recompute:
    """Compute cheap elementwise values of the forward graph again where the backward graph reads them.

    A value is computed again if that costs less than to write it and to read it: the cost of the operations, and of
    reading what nothing else would read there. All that the backward graph makes of it must be elementwise or a
    reduction: kernels that compute it on their way.
    """

    name: str = "recompute"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with the forward operations that the backward graph repeats."""
        again = _Choice(graph).again
        return _repeated(graph, again) if again else graph


class _Choice:
    """Which values the backward graph computes again.

    Attributes:
        again: for each of them, the nodes to repeat, in their order; the last one makes it.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._kept: set[Value] = set()
        self.again: dict[Value, tuple[Node, ...]] = {}
        results = set(graph.results)
        for node in graph.nodes:
            for value in node.outputs if node.phase == "forward" else ():
                readers = self._readers(value)
                if not readers:
                    continue
                nodes: dict[Node, int] = {}
                passes_by = len(readers) < len(graph.users[value]) and value not in results
                fits = passes_by and all(map(_computes, readers)) and self._collect(node, nodes)
                if fits and sum(nodes.values()) < 2 * _PRICE_OF_A_BYTE * value.dtype.itemsize:
                    self.again[value] = tuple(nodes)
                else:
                    self._kept.add(value)

    def _readers(self, value: Value) -> Sequence[Node]:
        """The nodes of the backward graph that read a value."""
        return [user for user in self._graph.users[value] if user.phase == "backward"]

    def _collect(self, node: Node, nodes: dict[Node, int]) -> bool:
        """Take up a node with what it costs, after those that compute what it reads and is not kept.

        False where there is none to compute it on the way.
        """
        if node in nodes:
            return True
        if not node.op.elementwise or not node.inputs or node.phase != "forward":
            return False
        price = node.op.cost
        for operand in node.inputs:
            if operand.shape != node.output.shape or not operand.node.inputs:
                continue  # it is small, or there in any case
            if operand in self._kept:
                if not any(map(_computes, self._readers(operand))):
                    price += _PRICE_OF_A_BYTE * operand.dtype.itemsize
            elif len(nodes) > _LONGEST or not self._collect(operand.node, nodes):
                return False
        nodes[node] = price
        return True


def _computes(node: Node) -> bool:
    """Whether a node becomes part of a kernel that computes its operands on the way."""
    return node.op.elementwise or node.op.reduction is not None


def _repeated(graph: Graph, again: Mapping[Value, Sequence[Node]]) -> Graph:
    """The graph with copies of nodes before the first node of the backward graph that reads them."""
    copies: dict[Value, Value] = {}
    known: dict[Value, Value] = {}
    nodes: list[Node] = []

    def copy(value: Value) -> Value:
        for node in again[value]:
            if node.output not in copies:
                operands = [copies[operand] if operand in copies else known[operand] for operand in node.inputs]
                with origin(replace(node.origin, phase="backward")):
                    made = apply(node.op, operands, node.attrs)
                copies[node.output] = made.output
                nodes.append(made)
        return copies[value]

    for node in graph.nodes:
        inputs = [
            copy(value) if node.phase == "backward" and value in again else known.get(value, value)
            for value in node.inputs
        ]
        same = all(new is old for new, old in zip(inputs, node.inputs, strict=True))
        fresh = node if same else rebuild(node, inputs)
        nodes.append(fresh)
        known.update(zip(node.outputs, fresh.outputs, strict=True))
    return Graph(
        graph.inputs,
        tuple(known[value] for value in graph.outputs),
        tuple((variable, known[value]) for variable, value in graph.updates),
        tuple(nodes),
    )
