"""Graphs as text: one node a line, numbered in the order of the graph, the same for graphs of the same structure."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from graphc.ir.bodies import bodies
from graphc.ir.dims import Dim, Size, Symbol, replace_symbols, symbols, unnamed_symbol
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.op import Array, attr_items
from graphc.ir.types import DType, TensorType

__all__ = ["SizeNames", "array_text", "attributes", "node_text", "to_text", "value_names"]

_PLAIN_NAME = re.compile(r"[^\W\d][\w.\-/\[\]]*")


def to_text(graph: Graph, *, locations: bool = False) -> str:
    """The graph as text.

    As in::

        inputs: %image
        %image: float32[batch, 784] = placeholder()
        %weight: float32[784, 10] = variable(trainable=True)
        %0: float32[batch, 10] = matmul(%image, %weight)
        outputs: %0

    Placeholders and variables keep their names; all other values are numbered. Sizes without a name are numbered too:
    ``?0``, ``?1``. Graphs inside nodes follow their node, indented; values inside ``%5`` are ``%5.0``, ``%5.1``.

    Args:
        graph: what to write out.
        locations: end each line with the node's scope, its phase if that is the backward one, and the user's line.
    """
    return "".join(f"{line}\n" for line in _Writer(graph, SizeNames(graph), value_names(graph)).graph_lines(locations))


def node_text(graph: Graph, node: Node) -> str:
    """The line that :func:`to_text` writes for one node of the graph."""
    return _Writer(graph, SizeNames(graph), value_names(graph)).node_line(node)


def attributes(node: Node) -> Iterator[tuple[str, Any]]:
    """The attributes that tell what neither the node's types, its name nor its graphs do."""
    told = {name.partition("[")[0] for name, _ in bodies(node)}
    if not node.inputs:
        told |= {"name", "dtype", "shape"}
    return ((name, value) for name, value in attr_items(node.attrs) if name not in told)


def array_text(array: Array, items: int = 4) -> str:
    """A number, or the first items of an array."""
    if array.ndim == 0:
        return str(array[()])
    shown = [str(item) for item in array.flat[:items]]
    return f"[{', '.join(shown + ['...'] * (array.size > items))}]"


class SizeNames:
    """Texts of sizes in which unnamed sizes are numbered by where they first stand in the graph."""

    def __init__(self, graph: Graph) -> None:
        self._numbered: dict[Symbol, Dim] = {}
        self._types: dict[TensorType, str] = {}
        self._add(graph)

    def _add(self, graph: Graph) -> None:
        for node in itertools.chain((value.node for value in graph.inputs), graph.nodes):
            for size in itertools.chain.from_iterable(value.shape for value in node.outputs):
                if isinstance(size, Dim):
                    for symbol in sorted((s for s in symbols(size) if s.unnamed), key=lambda s: int(s.name[1:])):
                        self._numbered.setdefault(symbol, unnamed_symbol(len(self._numbered)))
            for _, body in bodies(node):
                self._add(body)

    def size(self, size: Size) -> str:
        """The text of one size."""
        return str(replace_symbols(size, self._numbered.get) if self._numbered else size)

    def type(self, type: TensorType) -> str:
        """The text of a dtype and shape: ``float32[batch, 784]``."""
        if type not in self._types:
            self._types[type] = f"{type.dtype}[{', '.join(map(self.size, type.shape))}]"
        return self._types[type]

    def attribute(self, value: Any) -> str:
        """The text of an attribute's value."""
        if isinstance(value, Dim):
            return self.size(value)
        if isinstance(value, tuple):
            return f"({', '.join(map(self.attribute, value))}{',' if len(value) == 1 else ''})"
        if isinstance(value, np.ndarray):
            return array_text(value)
        if isinstance(value, DType | np.generic):
            return str(value)
        # The repr of a function or of a plain object holds its address, which differs from run to run.
        if " at 0x" in (text := repr(value)):
            return str(getattr(value, "__qualname__", type(value).__qualname__))
        return text


def value_names(graph: Graph, owner: str = "", numbers: Iterator[int] | None = None) -> dict[Value, str]:
    """What :func:`to_text` calls the values of a graph.

    Args:
        graph: the graph.
        owner: for a graph inside a node, what the first output of that node is called.
        numbers: where the numbers come from that values without a name get; the graphs inside one node share them.
    """
    prefix = f"{owner}." if owner else "%"
    numbers = itertools.count() if numbers is None else numbers
    taken: set[str] = set()
    return {
        value: prefix + (_unique(value.name, taken) if value.name and not node.inputs else str(next(numbers)))
        for node in graph.nodes
        for value in node.outputs
    }


class _Writer:
    """The lines of one graph."""

    def __init__(self, graph: Graph, sizes: SizeNames, names: dict[Value, str]) -> None:
        self.graph = graph
        self.sizes = sizes
        self.names = names

    def value(self, value: Value) -> str:
        return self.names.get(value, "%?")

    def values(self, values: Iterable[Value]) -> str:
        return ", ".join(map(self.value, values))

    def node_line(self, node: Node) -> str:
        results = ", ".join(f"{self.value(value)}: {self.sizes.type(value.type)}" for value in node.outputs)
        arguments = list(map(self.value, node.inputs))
        if node.op.name == "constant":
            arguments.append(array_text(node.attrs.array))
        arguments += [f"{name}={self.sizes.attribute(value)}" for name, value in attributes(node)]
        return f"{results} = {node.op.name}({', '.join(arguments)})"

    def graph_lines(self, locations: bool, indent: str = "") -> Iterator[str]:
        if self.graph.inputs:
            yield f"{indent}inputs: {self.values(self.graph.inputs)}"
        for node in self.graph.nodes:
            comment = _comment(node) if locations else ""
            yield f"{indent}{self.node_line(node)}{comment}"
            numbers = itertools.count()
            for name, body in bodies(node):
                yield f"{indent}  {name}:"
                writer = _Writer(body, self.sizes, value_names(body, self.value(node.outputs[0]), numbers))
                yield from writer.graph_lines(locations, indent + "    ")
        if self.graph.outputs:
            yield f"{indent}outputs: {self.values(self.graph.outputs)}"
        if self.graph.updates:
            yield f"{indent}updates:"
            for variable, value in self.graph.updates:
                yield f"{indent}  {self.value(variable)} <- {self.value(value)}"


def _unique(name: str, taken: set[str]) -> str:
    """A name that no other value of the graph has; quoted where it could be read as something else."""
    candidates = itertools.chain([name], (f"{name}.{i}" for i in itertools.count(2)))
    result = next(candidate for candidate in candidates if candidate not in taken)
    taken.add(result)
    return result if _PLAIN_NAME.fullmatch(result) else json.dumps(result, ensure_ascii=not result.isprintable())


def _comment(node: Node) -> str:
    location = node.location.short if node.location else ""
    parts = [node.scope, node.phase if node.phase == "backward" else "", location]
    text = ", ".join(" ".join(part.split()) for part in parts if part)
    return f"  # {text}" if text else ""
