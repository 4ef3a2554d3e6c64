"""Nested tuples, lists and dicts of values, as flat lists and their structure: what control flow takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from graphc.record import record

__all__ = ["Tree", "flatten"]


@record
class Tree:
    """The structure of nested containers; two are equal if values of one may stand in the places of the other.

    Attributes:
        kind: the type of the container; None for a leaf, ``NoneType`` for None.
        keys: of a dict, sorted; positions otherwise.
        parts: the structures of its items.
    """

    kind: type | None = None
    keys: tuple[Any, ...] = ()
    parts: tuple[Tree, ...] = ()

    def build(self, leaves: Sequence[Any]) -> Any:
        """The containers with the leaves in their places."""
        return self._build(iter(leaves))

    def _build(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        if self.kind is type(None):
            return None
        items = [part._build(leaves) for part in self.parts]
        if issubclass(self.kind, dict):
            made = self.kind()
            made.update(dict(zip(self.keys, items, strict=True)))
            return made
        make: Callable[..., Any] = self.kind
        return make(*items) if hasattr(make, "_fields") else make(items)

    def paths(self, path: str = "") -> Iterator[str]:
        """How Python would name each leaf, after ``path``: ``carry[0]['h']``."""
        if self.kind is None:
            yield path
        for key, part in zip(self.keys, self.parts, strict=True):
            yield from part.paths(f"{path}[{key!r}]")

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        if self.kind is type(None):
            return "None"
        if issubclass(self.kind, dict):
            return "{" + ", ".join(f"{key!r}: {part}" for key, part in zip(self.keys, self.parts, strict=True)) + "}"
        inside = ", ".join(map(str, self.parts))
        if issubclass(self.kind, list):
            return f"[{inside}]"
        return f"({inside}{',' if len(self.parts) == 1 else ''})"


_LEAF = Tree()


def flatten(tree: Any) -> tuple[list[Any], Tree]:
    """The leaves of nested tuples, lists and dicts, in order, and their structure. None has no leaves."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list[Any]) -> Tree:
    if tree is None:
        return Tree(type(None))
    if isinstance(tree, dict):
        keys = tuple(sorted(tree, key=repr))
        return Tree(type(tree), keys, tuple(_flatten(tree[key], leaves) for key in keys))
    if isinstance(tree, tuple | list):
        return Tree(type(tree), tuple(range(len(tree))), tuple(_flatten(item, leaves) for item in tree))
    leaves.append(tree)
    return _LEAF
