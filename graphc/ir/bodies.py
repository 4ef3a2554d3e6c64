"""Graphs that nodes hold: the members of a fused group, the step of a loop, the parts of a custom gradient."""

from __future__ import annotations

from dataclasses import fields

from graphc.ir.graph import Graph, Node

__all__ = ["bodies"]


def bodies(node: Node) -> tuple[tuple[str, Graph], ...]:
    """The graphs among a node's attributes, by the names of the attributes; those in a tuple are numbered."""
    found: list[tuple[str, Graph]] = []
    for field in fields(node.attrs):
        value = getattr(node.attrs, field.name)
        if isinstance(value, Graph):
            found.append((field.name, value))
        elif isinstance(value, tuple):
            found += [(f"{field.name}[{i}]", item) for i, item in enumerate(value) if isinstance(item, Graph)]
    return tuple(found)
