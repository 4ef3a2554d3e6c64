"""Executables as bytes, in terms of the fingerprint of the graph that they were made from.

What a graph has by number in every process (variables, constants, symbols of sizes) is stored by number. All else is
compressed JSON, and the bits of constants that compiling made. Records are stored field by field, whatever fields they
have. In JSON, an array is a tuple, and an object of one item tells of what type else its value is.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from graphc.ir.build import apply
from graphc.ir.dims import Dim, Maximum, Quotient, Size, Symbol, polynomial
from graphc.ir.fingerprint import Fingerprint
from graphc.ir.graph import Node, Value
from graphc.ir.op import registry
from graphc.ir.ops.leaves import constant, dim_size, placeholder
from graphc.ir.types import DTYPES, DType, TensorType
from graphc.runtime.kernels.base import Kernel
from graphc.runtime.program import BoundStep, Executable, ExecutableStep, Link, Linkage, Program
from graphc.runtime.views import Buffer

__all__ = ["decode", "encode"]

Json: TypeAlias = Any

_RECORDS: Mapping[str, type] = {
    kind.__name__: kind for kind in (Executable, ExecutableStep, Kernel, Link, Linkage, TensorType)
}
_STORED_AS: Mapping[type, type] = {Program: Executable, BoundStep: ExecutableStep}
"""What is stored of those that also explain."""

_LONG_TEXT = 32
"""Longer texts are stored once: steps share the sources of kernels."""


def encode(executable: Executable, fingerprint: Fingerprint) -> bytes | None:
    """An executable as bytes; None where it holds what the graph of the fingerprint does not."""
    encoder = _Encoder(fingerprint)
    try:
        made = encoder.write(executable)
    except _Unknown:
        return None
    tables = [encoder.texts, encoder.sizes, encoder.nodes, encoder.buffers, made]
    text = zlib.compress(json.dumps(tables, separators=(",", ":")).encode(), 1)
    return b"".join([len(text).to_bytes(8, "little"), text, *encoder.arrays])


def decode(content: bytes, fingerprint: Fingerprint) -> Executable:
    """The executable that :func:`encode` made these bytes of, for a graph of the same fingerprint."""
    end = 8 + int.from_bytes(content[:8], "little")
    texts, sizes, nodes, buffers, made = json.loads(zlib.decompress(content[8:end]))
    executable = _Decoder(fingerprint, texts, sizes, nodes, buffers, content[end:]).read(made)
    assert isinstance(executable, Executable)
    return executable


class _Unknown(Exception):
    """Something that cannot be stored."""


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


class _Encoder:
    """Writes values, and tables of those that are referred to by number."""

    def __init__(self, fingerprint: Fingerprint) -> None:
        self.texts: list[str] = []
        self.sizes: list[Json] = []
        self.nodes: list[Json] = []
        self.buffers: list[Json] = []
        self.arrays: list[bytes] = []
        self._numbers: dict[tuple[str, Any], int] = {}
        self._array_bytes = 0
        self._symbols = {symbol: number for number, symbol in enumerate(fingerprint.symbols)}
        # Passes make leaves anew, with the same attributes.
        self._leaves = {id(value.node.attrs): number for number, value in enumerate(fingerprint.leaves)}

    def write(self, value: Any) -> Json:
        kind = type(value)
        if value is None or kind in (int, bool, float) or (kind is str and len(value) <= _LONG_TEXT):
            return value
        if kind is tuple:
            return [self.write(item) for item in value]
        if kind is str:
            return self._reference("text", self.texts, value, lambda: value)
        if kind is Dim:
            return self._reference("size", self.sizes, value, lambda: self._terms(value))
        if kind is DType:
            return {"dtype": value.name}
        if kind is Buffer:
            return self._reference("buffer", self.buffers, value, lambda: self._buffer(value))
        if kind is Node:
            written = self._node(value)
            return self._reference("node", self.nodes, json.dumps(written), lambda: written)
        kind = _STORED_AS.get(kind, kind)
        if kind.__name__ not in _RECORDS:
            raise _Unknown
        return {kind.__name__: self._fields(value, kind)}

    def _fields(self, value: Any, kind: type) -> Json:
        return [self.write(getattr(value, name)) for name in _names(kind)]

    def _reference(self, name: str, table: list[Any], value: Any, write: Callable[[], Json]) -> Json:
        """The place of a value in a table, where it is written once."""
        number = self._numbers.get((name, value))
        if number is None:
            written = write()  # which may add to the table
            number = self._numbers[name, value] = len(table)
            table.append(written)
        return {name: number}

    def _terms(self, size: Dim) -> Json:
        return [[factor, [self._atom(atom) for atom in atoms]] for atoms, factor in size.terms]

    def _atom(self, atom: Symbol | Quotient | Maximum) -> Json:
        match atom:
            case Symbol():
                if atom not in self._symbols:
                    raise _Unknown
                return self._symbols[atom]
            case Quotient(left, right):
                return ["quotient", self.write(left), self.write(right)]
            case Maximum(left, right):
                return ["maximum", self.write(left), self.write(right)]

    def _buffer(self, buffer: Buffer) -> Json:
        return [
            self._source(buffer) if name == "source" else self.write(getattr(buffer, name)) for name in _names(Buffer)
        ]

    def _source(self, buffer: Buffer) -> Json:
        """What holds the items of a buffer before the program runs: a leaf of the graph, or one that passes made."""
        if buffer.place not in ("variable", "constant", "size") or buffer.source is None:
            return None
        attrs = buffer.source.node.attrs
        number = self._leaves.get(id(attrs))
        if number is not None:
            return number
        match buffer.source.node.op.name:
            case "dim_size":
                return self.write(attrs.size)
            case "constant":
                start = self._array_bytes
                self.arrays.append(attrs.array.tobytes())
                self._array_bytes += attrs.array.nbytes
                return [attrs.array.dtype.name, attrs.array.shape, start]
        raise _Unknown

    def _node(self, node: Node) -> Json:
        """A node as its operation, the class and the fields of its attributes, and the types of its operands."""
        kind = type(node.attrs)
        types = [self.write(value.type) for value in node.inputs]
        return [node.op.name, kind.__name__, self._fields(node.attrs, kind), types]


class _Decoder:
    """Reads what an encoder wrote."""

    def __init__(
        self, fingerprint: Fingerprint, texts: list[str], sizes: Json, nodes: Json, buffers: Json, arrays: bytes
    ) -> None:
        self._leaves = fingerprint.leaves
        self._symbols = fingerprint.symbols
        self._arrays = arrays
        self._tables: dict[str, list[Any]] = {"text": texts, "size": []}
        for terms in sizes:
            self._tables["size"].append(self._size(terms))
        self._tables["node"] = [self._node(*each) for each in nodes]
        self._tables["buffer"] = [self._buffer(each) for each in buffers]

    def read(self, written: Json) -> Any:
        if isinstance(written, list):
            return tuple([self.read(item) for item in written])
        if not isinstance(written, dict):
            return written
        [(kind, content)] = written.items()
        if kind in self._tables:
            return self._tables[kind][content]
        if kind == "dtype":
            return DTYPES[content]
        return _RECORDS[kind](*self.read(content))

    def _size(self, terms: Json) -> Size:
        return polynomial((map(self._atom, atoms), factor) for factor, atoms in terms)

    def _atom(self, atom: Json) -> Symbol | Quotient | Maximum:
        if isinstance(atom, int):
            return self._symbols[atom]
        kind, *operands = atom
        left, right = map(self.read, operands)
        # The smaller text first, see graphc.ir.dims.maximum: names of symbols may differ from the writer's.
        return Quotient(left, right) if kind == "quotient" else Maximum(*sorted((left, right), key=str))

    def _buffer(self, written: Json) -> Buffer:
        pairs = zip(_names(Buffer), written, strict=True)
        given: dict[str, Any] = {
            name: self._source(each) if name == "source" else self.read(each) for name, each in pairs
        }
        return Buffer(**given)

    def _source(self, source: Json) -> Value | None:
        match source:
            case None:
                return None
            case int():
                return self._leaves[source]
            case dict():
                return dim_size(self.read(source))
        dtype, shape, start = source
        return constant(np.ndarray(tuple(shape), DTYPES[dtype].numpy, self._arrays, start))

    def _node(self, name: str, kind: str, attrs: Json, types: Json) -> Node:
        op = registry[name]
        operands = [placeholder(type.shape, type.dtype) for type in self.read(types)]
        made = next(each for each in (op.attrs, *op.attrs.__subclasses__()) if each.__name__ == kind)
        return apply(op, operands, made(*self.read(attrs)))
