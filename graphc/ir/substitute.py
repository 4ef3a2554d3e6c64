"""Values again, in terms of other values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.ir.build import rebuild
from graphc.ir.graph import Value, reachable

__all__ = ["substitute"]


def substitute(values: Sequence[Value], replacements: Mapping[Value, Value]) -> list[Value]:
    """The values with each key of ``replacements`` replaced. What does not depend on a key stays the same object."""
    known: dict[Value, Value] = dict(replacements)
    for node in reachable(values):
        if all(value in known for value in node.outputs):
            continue
        inputs = [known.get(value, value) for value in node.inputs]
        if all(new is old for new, old in zip(inputs, node.inputs, strict=True)):
            continue
        fresh = rebuild(node, inputs)
        for old, new in zip(node.outputs, fresh.outputs, strict=True):
            known.setdefault(old, new)
    return [known.get(value, value) for value in values]
