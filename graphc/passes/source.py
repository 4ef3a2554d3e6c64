"""A graph as a Python program that builds it: its nodes, their attributes, the graphs that they hold, and arrays."""

from __future__ import annotations

import base64
import textwrap
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from graphc.errors import GraphError
from graphc.ir.dims import Dim, Maximum, Quotient, Size, Symbol
from graphc.ir.graph import Graph, Node, Value, reachable
from graphc.ir.op import Array, NoAttrs
from graphc.ir.types import DType

__all__ = ["GraphSource"]

_MOST_ITEMS = 64
"""Arrays of no more items are written out as numbers."""


class GraphSource:
    """Lines of Python that build graphs.

    Attributes:
        lines: so far.
        imports: the lines that they need before them.
    """

    def __init__(self, arrays: Mapping[Value, Array]) -> None:
        """``arrays`` are the values of variables; those that are not among them have the values that they hold."""
        self.lines: list[str] = []
        self.imports = {"import numpy as np", "import graphc as gr"}
        self._arrays = arrays
        self._names: dict[Value, str] = {}
        self._graphs: dict[Graph, str] = {}

    def graph(self, graph: Graph) -> str:
        """The name of a graph, after the lines that build it."""
        if graph not in self._graphs:
            updates = ", ".join(f"{self.value(variable)}: {self.value(value)}" for variable, value in graph.updates)
            inputs, outputs = self._values(graph.inputs), self._values(graph.outputs)
            name = f"graph{len(self._graphs) or ''}"
            self.imports.add("from graphc.ir.graph import Graph")
            self.lines.append(f"{name} = Graph.of([{inputs}], [{outputs}]{f', {{{updates}}}' if updates else ''})")
            self._graphs[graph] = name
        return self._graphs[graph]

    def value(self, value: Value) -> str:
        """How the program calls a value, after the lines that compute it."""
        for node in reachable([value]):
            if node.outputs[0] not in self._names:
                self._node(node)
        return self._names[value]

    def expression(self, item: Any) -> str:
        """What gives an attribute, or any part of it.

        Raises:
            GraphError: there is no way to write it.
        """
        match item:
            case None | bool() | int() | str():
                return repr(item)
            case float():
                return repr(item) if np.isfinite(item) else f"float({str(item)!r})"
            case Dim():
                return self._size(item)
            case DType():
                self.imports.add("from graphc.ir.types import dtype_of")
                return f"dtype_of({item.name!r})"
            case np.ndarray():
                return self.array(item)
            case tuple():
                parts = [self.expression(part) for part in item]
                return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
            case Graph():
                return self.graph(item)
            case Value():
                return self.value(item)
        return self.made(item)

    def made(self, item: Any) -> str:
        """A call that makes a dataclass again.

        Raises:
            GraphError: it is none, or its class cannot be imported by name.
        """
        kind = type(item)
        if not is_dataclass(item) or "<locals>" in kind.__qualname__ or kind.__module__ == "__main__":
            raise GraphError(f"{item!r} cannot be written as Python", expected="a dataclass of an importable module")
        given = ", ".join(f"{f.name}={self.expression(getattr(item, f.name))}" for f in fields(item) if f.init)
        self.imports.add(f"from {kind.__module__} import {kind.__name__}")
        return f"{kind.__name__}({given})"

    def array(self, array: Array) -> str:
        """An expression of an array."""
        if array.size <= _MOST_ITEMS:
            self.imports.add("from numpy import inf, nan")
            text = f"np.array({array.ravel().tolist()}, {array.dtype.name!r})"
        else:
            self.imports |= {"import base64", "import zlib"}
            packed = base64.b85encode(zlib.compress(np.ascontiguousarray(array).tobytes())).decode()
            lines = "\n".join(f"    {part!r}" for part in textwrap.wrap(packed, 100))
            text = f"np.frombuffer(zlib.decompress(base64.b85decode(\n{lines}\n)), {array.dtype.name!r})"
        return text if array.ndim == 1 else f"{text}.reshape({array.shape})"

    # --- parts ----------------------------------------------------------------------------------------------------

    def _values(self, values: Iterable[Value]) -> str:
        return ", ".join(map(self.value, values))

    def _node(self, node: Node) -> None:
        name = f"v{len(self._names)}"
        made = self._leaf(node) if not node.inputs else ""
        if not made:
            self.imports |= {"from graphc.ir.build import apply", "from graphc.ir.op import registry"}
            arguments = f"[{', '.join(self._names[value] for value in node.inputs)}]"
            if not isinstance(node.attrs, NoAttrs):
                arguments += f", {self.made(node.attrs)}"
            made = f'apply(registry["{node.op.name}"], {arguments}).outputs'
            if len(node.outputs) == 1:
                made += "[0]"
        for place, value in enumerate(node.outputs):
            self._names[value] = name if len(node.outputs) == 1 else f"{name}[{place}]"
        if node.phase == "backward":
            self.imports.add("from graphc.ir.source import phase")
            self.lines += ['with phase("backward"):', f"    {name} = {made}"]
        else:
            self.lines.append(f"{name} = {made}")

    def _leaf(self, node: Node) -> str:
        value, attrs = node.outputs[0], node.attrs
        match node.op.name:
            case "placeholder":
                shape = self.expression(value.shape)
                return f"gr.placeholder({shape}, {value.dtype.name!r}, name={value.name!r})"
            case "variable":
                array = self.array(self._arrays.get(value, attrs.storage.array))
                return f"gr.variable({array}, {value.name!r}, trainable={attrs.trainable})"
            case "constant":
                return f"gr.constant({self.array(attrs.array)})"
        return ""

    def _size(self, size: Size) -> str:
        if isinstance(size, int):
            return str(size)
        terms = []
        for monomial, coefficient in size.terms:
            factors = [self._atom(atom) for atom in monomial]
            terms.append(" * ".join([str(coefficient)] * (coefficient != 1 or not factors) + factors))
        return " + ".join(terms)

    def _atom(self, atom: Symbol | Quotient | Maximum) -> str:
        match atom:
            case Symbol(name, unnamed):
                made = f"unnamed_symbol({name[1:]})" if unnamed else f"symbol({name!r})"
            case Quotient(numerator, divisor):
                return f"(({self._size(numerator)}) // ({self._size(divisor)}))"
            case Maximum(left, right):
                made = f"maximum({self._size(left)}, {self._size(right)})"
        self.imports.add(f"from graphc.ir.dims import {made.partition('(')[0]}")
        return made
