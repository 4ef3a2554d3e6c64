"""From a Python function's results to a graph of its own: what it takes from around it becomes an input."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from graphc.ir.graph import Node, Value, reachable
from graphc.ir.ops.differentiation import differentiated_by
from graphc.ir.ops.leaves import placeholder
from graphc.ir.substitute import substitute

__all__ = ["close", "dependents", "is_literal"]


def dependents(values: Sequence[Value], on: Iterable[Value]) -> set[Node]:
    """The nodes by which ``values`` depend on ``on``."""
    roots = set(on)
    found: set[Node] = set()
    for node in reachable(values):
        if any(value in roots or value.node in found for value in node.inputs):
            found.add(node)
    return found


def is_literal(value: Value) -> bool:
    """Whether a value is a constant or a size, or a rearrangement of one: costs nothing wherever it stands."""
    node = value.node
    while node.op.view:
        node = node.inputs[0].node
    return node.op.name in ("constant", "dim_size")


def close(
    arguments: Sequence[Value], *groups: Sequence[Value], inside: Collection[Node] | None = None
) -> tuple[list[Value], list[list[Value]], list[Value]]:
    """Cut values off from what is around the graph that they are to stand in.

    Args:
        arguments: the inputs of that graph.
        groups: values of the graph.
        inside: the nodes that may stand in the graph; without it, those that depend on the arguments. Literals always
            stand inside, variables never. Where a derivative stands inside, so does all that it goes through.

    Returns:
        The values that were cut off, and in terms of placeholders that stand for them: the groups; and these
        placeholders.
    """
    results = [value for group in groups for value in group]
    if inside is None:
        inside = dependents(results, arguments)
    inside = _with_derivatives(inside)
    own = set(arguments)
    captured: dict[Value, Value] = {}

    def cut(value: Value) -> bool:
        leaf = value.node.op.name in ("placeholder", "variable")
        return value not in own and (leaf or value.node not in inside) and not is_literal(value)

    stack, seen = list(results), set[Node]()
    while stack:
        value = stack.pop()
        if cut(value):
            if value not in captured:
                captured[value] = placeholder(value.shape, value.dtype)
        elif value not in own and value.node not in seen:
            seen.add(value.node)
            stack += value.node.inputs
    replaced = iter(substitute(results, captured))
    return list(captured), [[next(replaced) for _ in group] for group in groups], list(captured.values())


def _with_derivatives(nodes: Collection[Node]) -> set[Node]:
    """The nodes, and those by which what the derivatives among them differentiate depends on what they do it by."""
    found, fresh = set(nodes), set(nodes)
    while fresh:
        through = (dependents(*differentiated_by(node)) for node in fresh)
        fresh = set().union(*through) - found
        found |= fresh
    return found
