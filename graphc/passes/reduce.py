"""The smallest part of a graph that still shows something: for a report that a person can look through."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from graphc.errors import GraphError
from graphc.ir.graph import Graph, Value, reachable
from graphc.ir.op import Array
from graphc.ir.ops.leaves import placeholder
from graphc.ir.source import origin
from graphc.ir.substitute import substitute
from graphc.record import record

__all__ = ["Reduced", "reduced"]


@record(eq=False)
class Reduced:
    """A part of a graph.

    Attributes:
        graph: with one output or one update.
        leaves: arrays for its inputs and variables.
    """

    graph: Graph
    leaves: Mapping[Value, Array]


def reduced(
    graph: Graph,
    shows: Callable[[Graph, Mapping[Value, Array]], bool],
    arrays: Mapping[Value, Array],
    seconds: float = 10.0,
) -> Reduced:
    """The smallest part found of a graph for which ``shows`` is true.

    It keeps one result, then the first value that will do as a result, then replaces what values are computed from by
    inputs that hold them, those next to the result first, as far as the part still shows it.

    Args:
        graph: one for which ``shows`` is true.
        shows: tells of a part of it, with arrays for its inputs and variables.
        arrays: for every value of the graph that may become an input.
        seconds: after about so long, the smallest part found so far is returned.
    """
    deadline = time.monotonic() + seconds
    leaves = {node.output: arrays[node.output] for node in graph.nodes if not node.inputs and node.output in arrays}

    def holds(candidate: Graph, given: Mapping[Value, Array]) -> bool:
        try:
            return time.monotonic() < deadline and shows(candidate, given)
        except (GraphError, ValueError):  # not a graph that can be evaluated
            return False

    outputs, updates = _one_result(graph, lambda candidate: holds(candidate, leaves))
    if not updates and len(outputs) == 1:
        for node in reachable(outputs):
            value = next((value for value in node.outputs if holds(_part([value], {}), leaves)), None)
            if node.inputs and value is not None:
                outputs = [value]
                break
    cuts: dict[Value, Value] = {}
    best = Reduced(_part(outputs, updates), leaves)
    candidates = [node for node in reversed(best.graph.nodes) if node.inputs]
    for node in candidates:
        if node in {value.node for value in outputs} or not all(value in arrays for value in node.outputs):
            continue
        with origin(node.origin):
            fresh = {value: placeholder(value.shape, value.dtype) for value in node.outputs}
        tried = cuts | fresh
        given = leaves | {new: arrays[old] for old, new in tried.items()}
        values = substitute([*outputs, *updates.values()], tried)
        part = _part(values[: len(outputs)], dict(zip(updates, values[len(outputs) :], strict=True)))
        if len(part.nodes) < len(best.graph.nodes) + len(fresh) and holds(part, given):
            cuts, best = tried, Reduced(part, given)
    return best


def _part(outputs: Sequence[Value], updates: Mapping[Value, Value]) -> Graph:
    """The graph of some results, with the placeholders that they need as inputs."""
    nodes = reachable([*outputs, *updates, *updates.values()])
    return Graph.of([node.output for node in nodes if node.op.name == "placeholder"], outputs, updates)


def _one_result(graph: Graph, holds: Callable[[Graph], bool]) -> tuple[list[Value], dict[Value, Value]]:
    """One output of the graph, or a next value as an output, or else as an update; all of them if one will not do."""
    for value in graph.results:
        if value.node.inputs and holds(_part([value], {})):
            return [value], {}
    for variable, value in graph.updates:
        if holds(_part([], {variable: value})):
            return [], {variable: value}
    return list(graph.outputs), dict(graph.updates)
