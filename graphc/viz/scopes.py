"""In which scope a node is drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from graphc.ir.bodies import bodies
from graphc.ir.graph import Graph, Node, Value
from graphc.viz.regions import Region

__all__ = ["drawn_scope"]


def drawn_scope(graph: Graph, node: Node, region: Mapping[Node, Region]) -> str:
    """The scope of a node; for a variable or constant made outside of any, what its readers in its region share."""
    if node.scope or node.op.name not in ("variable", "constant"):
        return node.scope
    readers = [reader for reader in dict.fromkeys(graph.users[node.output]) if region[reader] == region[node]]
    scopes = [scope.split("/") for reader in readers for scope in _reading_scopes(reader, node.output)]
    shared = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*scopes, strict=False))
    return "/".join(parts[0] for parts in shared)


def _reading_scopes(reader: Node, value: Value) -> Iterator[str]:
    """The scope of a reader; of the members of a group that read the value."""
    if reader.op.name != "fused":
        yield reader.scope
        return
    ((_, body),) = bodies(reader)
    for inner, outer in zip(body.inputs, reader.inputs, strict=True):
        if outer is value:
            yield from (member.scope for member in body.users[inner])
