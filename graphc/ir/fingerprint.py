"""What identifies a graph in every process: a digest of all that decides what is computed, and how.

Two graphs have one digest where they apply the same operations with equal attributes to the same values, in the same
pattern: a value that is used twice is not two equal values. Variables count by their types and names, not by what they
hold; constants by their bits; sizes by their names, and those without a name by which of them are one. What the user
sees alone, lines and scopes, does not count.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from graphc.ir.dims import Dim, Quotient, Size, Symbol, symbols
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.op import OpDef
from graphc.ir.ops.effects import UpdatesAttrs
from graphc.ir.ops.leaves import Storage, Variable
from graphc.ir.types import DType

__all__ = ["Fingerprint", "fingerprint"]


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """A graph's digest, and what it counts by number: the same in all graphs of this digest.

    Attributes:
        digest: in hexadecimal digits.
        leaves: the values of its variables and constants, also of graphs inside nodes.
        symbols: the symbols of its sizes.
    """

    digest: str
    leaves: tuple[Value, ...]
    symbols: tuple[Symbol, ...]


def fingerprint(graph: Graph) -> Fingerprint | None:
    """The fingerprint of a graph; None where it holds what is not graphc's, such as an operation of the user's own."""
    writer = _Writer(node.attrs.number for node in graph.nodes if isinstance(node.attrs, UpdatesAttrs))
    try:
        text = writer.graph(graph)
    except _Foreign:
        return None
    return Fingerprint(hashlib.sha256(text.encode()).hexdigest(), tuple(writer.leaves), tuple(writer.symbols))


class _Foreign(Exception):
    """Something whose meaning is not known."""


_PACKAGE = __name__.partition(".")[0] + "."


@functools.cache
def _is_own(op: OpDef) -> bool:
    return all(function.__module__.startswith(_PACKAGE) for function in (op.infer, op.evaluate, op.vjp))


@functools.cache
def _fields_of(kind: Any) -> tuple[str, ...]:
    if not is_dataclass(kind) or not kind.__module__.startswith(_PACKAGE):
        raise _Foreign
    return tuple(field.name for field in fields(kind))


class _Writer:
    """Writes graphs as text, with numbers for nodes, graphs, symbols and the memory of variables."""

    def __init__(self, effects: Iterable[int]) -> None:
        """``effects`` are the numbers by which effects are ordered: their order counts, not the numbers."""
        self._effects = {number: place for place, number in enumerate(sorted(effects))}
        self.leaves: list[Value] = []
        self.symbols: dict[Symbol, int] = {}
        self._nodes: dict[Node, int] = {}
        self._graphs: dict[Graph, int] = {}
        self._storages: dict[Storage, int] = {}
        self._sizes: dict[Dim, str] = {}

    def graph(self, graph: Graph) -> str:
        if graph in self._graphs:
            return f"graph {self._graphs[graph]}"
        self._graphs[graph] = len(self._graphs)
        lines = [self._node(node) for node in graph.nodes if node not in self._nodes]
        pairs = [f"{self._value(variable)}={self._value(value)}" for variable, value in graph.updates]
        lines += [" ".join(map(self._value, graph.inputs)), " ".join(map(self._value, graph.outputs)), " ".join(pairs)]
        return "{" + "\n".join(lines) + "}"

    def _node(self, node: Node) -> str:
        if not _is_own(node.op):
            raise _Foreign
        attrs = self._attribute(node.attrs)
        inputs = " ".join(map(self._value, node.inputs))
        self._nodes[node] = len(self._nodes)
        if node.op.name in ("variable", "constant"):
            self.leaves.append(node.output)
        return f"{node.op.name} {node.phase} {attrs} {inputs}"

    def _value(self, value: Value) -> str:
        number = self._nodes.get(value.node)
        if number is None:  # a variable that is updated and not read
            return f"({self._node(value.node)})"
        return f"{number}.{value.index}" if value.index else str(number)

    def _attributes(self, attrs: Any) -> str:
        kind: type = type(attrs)
        return "[" + ",".join([self._attribute(getattr(attrs, name)) for name in _fields_of(kind)]) + "]"

    def _attribute(self, value: Any) -> str:
        write = _WRITERS.get(type(value))
        return write(self, value) if write is not None else type(value).__qualname__ + self._attributes(value)

    def _tuple(self, items: tuple[Any, ...]) -> str:
        return "(" + ",".join([self._attribute(item) for item in items]) + ")"

    def _updates(self, attrs: UpdatesAttrs) -> str:
        return f"{self._effects.get(attrs.number)}{self._tuple(attrs.variables)}"

    def _storage(self, storage: Storage) -> str:
        return f"memory {self._storages.setdefault(storage, len(self._storages))}"

    def _size(self, size: Size) -> str:
        if isinstance(size, int):
            return str(size)
        text = self._sizes.get(size)
        if text is None:
            for each in symbols(size):
                self.symbols.setdefault(each, len(self.symbols))
            terms = [f"{factor}*{'*'.join(sorted(map(self._atom, atoms)))}" for atoms, factor in size.terms]
            text = self._sizes[size] = "size " + "+".join(sorted(terms))
        return text

    def _atom(self, atom: Any) -> str:
        if isinstance(atom, Symbol):
            return f"?{self.symbols[atom]}" if atom.unnamed else repr(atom.name)
        left, right = (atom.numerator, atom.divisor) if isinstance(atom, Quotient) else (atom.left, atom.right)
        return f"{type(atom).__name__}({self._size(left)},{self._size(right)})"


def _array(writer: _Writer, array: np.ndarray[Any, np.dtype[Any]]) -> str:
    content = array.tobytes()
    bits = content.hex() if len(content) <= 32 else hashlib.sha256(content).hexdigest()
    return f"{array.dtype.str}{array.shape}{bits}"


def _plain(writer: _Writer, value: object) -> str:
    return repr(value)


_WRITERS: Mapping[type, Callable[[_Writer, Any], str]] = {
    **dict.fromkeys((int, bool, float, str, type(None)), _plain),
    tuple: _Writer._tuple,
    DType: lambda writer, dtype: dtype.name,
    Dim: _Writer._size,
    Graph: _Writer.graph,
    Storage: _Writer._storage,
    UpdatesAttrs: _Writer._updates,
    Value: _Writer._value,
    Variable: _Writer._value,
    np.ndarray: _array,
}
"""How each type of attribute is written; others are data of graphc's own, written by their fields."""
