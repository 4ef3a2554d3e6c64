"""Register tiles: the instructions that matrix products are written with.

``tile_<dtype>_<rows>x<vectors>x<lanes>`` multiplies a few rows of A with a packed panel of B and keeps the whole result
in registers meanwhile; ``transpose_<dtype>_<lanes>`` turns a square block over while a panel is packed. They are
emitted as vector instructions by name, so the source of a kernel says which sizes it was written for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from graphc.runtime.instructions.emit import WORD, cgutils, instruction, types

__all__ = ["ITEMS", "spread", "tile_names", "transposed", "vector_at"]

ITEMS: dict[str, ir.Type] = {"f32": ir.FloatType(), "f64": ir.DoubleType()}
_NUMBERS: dict[str, Any] = {"f32": types.float32, "f64": types.float64}
_TILE = re.compile(r"\btile_(f32|f64)_(\d+)x(\d+)x(\d+)\b")
_TRANSPOSE = re.compile(r"\btranspose_(f32|f64)_(\d+)\b")
_STACK = re.compile(r"\bstack_(f32|f64)_(\d+)\b")
_LINE = 64


def tile_names(source: str) -> dict[str, Any]:
    """The instructions of this kind that a source mentions, by name."""
    found: dict[str, Any] = {}
    for kind, *sizes in set(_TILE.findall(source)):
        found["tile_{}_{}x{}x{}".format(kind, *sizes)] = _tile(kind, *map(int, sizes))
    for kind, lanes in set(_TRANSPOSE.findall(source)):
        found[f"transpose_{kind}_{lanes}"] = _transpose(kind, int(lanes))
    for kind, items in set(_STACK.findall(source)):
        found[f"stack_{kind}_{items}"] = _stack(kind, int(items))
    return found


def vector_at(builder: Any, vector: ir.Type, address: Any) -> Any:
    """An address as a pointer to a vector."""
    return builder.inttoptr(address, vector.as_pointer())


def spread(builder: Any, vector: Any, item: Any) -> Any:
    """An item in every lane of a vector."""
    empty = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(empty, item, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


@functools.cache
def _tile(kind: str, rows: int, vectors: int, lanes: int) -> Any:
    item, number, word = ITEMS[kind], _NUMBERS[kind], types.int64
    vector = ir.VectorType(item, lanes)
    size = 4 if kind == "f32" else 8
    width = vectors * lanes

    def constant(value: int) -> Any:
        return ir.Constant(WORD, value)

    @instruction(types.void, word, word, word, word, word, word, word, word, number, number)
    def tile(builder: Any, *values: Any) -> None:
        """C[rows, width] = beta * C + alpha * (A[rows, depth] @ panel[depth, width]).

        ``a, a_row, a_column, there, panel, depth, c, c_row, alpha, beta``: addresses, and strides in bytes. A has
        ``there`` rows, at least 1; the last one stands for those that it lacks. C's old items do not count where
        beta is 0.
        """
        a, a_row, a_column, there, panel, depth, c, c_row, alpha, beta = values
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}{kind}"
        )
        starts = [a]
        for r in range(1, rows):
            further = builder.add(starts[-1], a_row)
            starts.append(builder.select(builder.icmp_signed("<", constant(r), there), further, starts[-1]))
        zero = ir.Constant(vector, None)
        entry = builder.block
        loop, done = builder.append_basic_block("depth"), builder.append_basic_block("write")
        builder.cbranch(builder.icmp_signed(">", depth, constant(0)), loop, done)
        builder.position_at_end(loop)
        step, across, along = (builder.phi(WORD) for _ in range(3))
        for phi in (step, across, along):
            phi.add_incoming(constant(0), entry)
        sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
        for row in sums:
            for total in row:
                total.add_incoming(zero, entry)
        base = builder.add(panel, along)
        columns = [
            builder.load(vector_at(builder, vector, builder.add(base, constant(v * lanes * size))), align=lanes * size)
            for v in range(vectors)
        ]
        following = []
        for r in range(rows):
            pointer = builder.inttoptr(builder.add(starts[r], across), item.as_pointer())
            left = spread(builder, vector, builder.load(pointer))
            following.append([builder.call(fma, [left, columns[v], sums[r][v]]) for v in range(vectors)])
        next_step = builder.add(step, constant(1))
        step.add_incoming(next_step, loop)
        across.add_incoming(builder.add(across, a_column), loop)
        along.add_incoming(builder.add(along, constant(width * size)), loop)
        for r in range(rows):
            for v in range(vectors):
                sums[r][v].add_incoming(following[r][v], loop)
        builder.cbranch(builder.icmp_signed("<", next_step, depth), loop, done)
        builder.position_at_end(done)
        results = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
        scale, keep = spread(builder, vector, alpha), spread(builder, vector, beta)
        fresh = builder.fcmp_ordered("==", beta, ir.Constant(item, 0.0))
        for r in range(rows):
            for v in range(vectors):
                results[r][v].add_incoming(zero, entry)
                results[r][v].add_incoming(following[r][v], loop)
        for r in range(rows):
            for v in range(vectors):
                offset = builder.add(builder.mul(c_row, constant(r)), constant(v * lanes * size))
                place = vector_at(builder, vector, builder.add(c, offset))
                old = builder.fmul(builder.load(place, align=size), keep)
                kept = builder.select(fresh, zero, old)
                builder.store(builder.call(fma, [results[r][v], scale, kept]), place, align=size)

    return tile


@functools.cache
def _transpose(kind: str, lanes: int) -> Any:
    item, word = ITEMS[kind], types.int64
    vector = ir.VectorType(item, lanes)
    size = 4 if kind == "f32" else 8

    @instruction(types.void, word, word, word, word)
    def transpose(builder: Any, source: Any, source_row: Any, target: Any, target_row: Any) -> None:
        """target[j, i] = source[i, j] for a square block; rows are so many bytes apart."""

        def at(start: Any, row: Any, number: int) -> Any:
            return vector_at(builder, vector, builder.add(start, builder.mul(row, ir.Constant(WORD, number))))

        rows = [builder.load(at(source, source_row, r), align=size) for r in range(lanes)]
        for r, row in enumerate(transposed(builder, rows)):
            builder.store(row, at(target, target_row, r), align=size)

    return transpose


def transposed(builder: Any, vectors: Sequence[Any]) -> list[Any]:
    """The columns of a square block, given its rows."""
    rows, lanes = list(vectors), len(vectors)
    half = lanes // 2
    while half:
        # Exchange the off-diagonal halves of every block of 2 * half rows and columns.
        for r in range(lanes):
            if r & half:
                continue
            upper, lower = rows[r], rows[r + half]
            first = [lanes + lane - half if lane & half else lane for lane in range(lanes)]
            second = [lanes + lane if lane & half else lane + half for lane in range(lanes)]
            rows[r], rows[r + half] = (
                builder.shuffle_vector(upper, lower, ir.Constant(ir.VectorType(ir.IntType(32), lanes), mask))
                for mask in (first, second)
            )
        half //= 2
    return rows


@functools.cache
def _stack(kind: str, items: int) -> Any:
    size = 4 if kind == "f32" else 8

    @instruction(types.int64)
    def stack(builder: Any) -> Any:
        """Address of room for so many items in the frame of the kernel, at the start of a cache line."""
        with builder.goto_entry_block():  # once for a call, not once for every pass of a loop
            block = builder.alloca(ir.IntType(8), size=ir.Constant(WORD, items * size + _LINE))
        start = builder.ptrtoint(block, WORD)
        up = builder.add(start, ir.Constant(WORD, _LINE - 1))
        return builder.and_(up, ir.Constant(WORD, -_LINE))

    return stack
