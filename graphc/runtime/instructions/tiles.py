"""Register tiles: the instructions that matrix products are written with.

``tile_<dtype>_<rows>x<vectors>x<lanes>`` multiplies a few rows of A with a packed panel of B and keeps the whole result
in registers meanwhile; ``pack_...``, ``pack_side_...`` and ``turn_...`` bring B and A into the order that it reads them
in. ``scale_...``, ``dots_...`` and ``add_rows_...`` make products of a single row. They are emitted as vector
instructions by name, so the source of a kernel says which sizes it was written for. This leaves few lines to Numba,
which takes milliseconds for each. Addresses and strides are in bytes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from graphc.runtime.instructions.emit import WORD, instruction, types
from graphc.runtime.instructions.vectors import ITEMS, UNROLLED, Vectors, Word, clamped, loop, spread, transposed

__all__ = ["PAIR", "tile_names"]

_NUMBERS: dict[str, Any] = {"f32": types.float32, "f64": types.float64}
_NAME = re.compile(r"\b(tile|pack|pack_side|turn|scale|dots|add_rows|stack)_(f32|f64)_(\d+(?:x\d+)*)\b")
PAIR = 2
"""Vectors of a row of a panel."""

_LINE = 64
_COLUMNS = 8
"""Columns that are turned into strips side by side: as many lines as a set of a first-level cache holds."""

_APART = 4
"""Sums, or rows, that are added up side by side."""


def tile_names(source: str) -> dict[str, Any]:
    """The instructions of this kind that a source mentions, by name."""
    return {
        f"{name}_{kind}_{sizes}": _made(name, kind, tuple(map(int, sizes.split("x"))))
        for name, kind, sizes in set(_NAME.findall(source))
    }


@functools.cache
def _made(name: str, kind: str, sizes: tuple[int, ...]) -> Any:
    return _MAKERS[name](kind, *sizes)


def _tile(kind: str, rows: int, vectors: int, lanes: int) -> Any:
    word, number = types.int64, _NUMBERS[kind]

    @instruction(types.void, *[word] * 10, number, number)
    def tile(builder: Any, *values: Any) -> None:
        """C[tall, columns] = beta * C + alpha * (A[tall, depth] @ panel[depth, columns]).

        ``a, a_row, a_column, there, panel, depth, c, c_row, tall, columns, alpha, beta``. A has ``there`` rows, at
        least 1; the last one stands for those that it lacks. C's old items do not count where beta is 0.
        """
        a, a_row, a_column, there, panel, depth, c, c_row, tall, columns = (
            Word(builder, value) for value in values[:10]
        )
        alpha, beta = values[10:]
        v = Vectors(builder, kind, lanes)
        first, *others = clamped(a, a_row, rows, there)
        starts = [Word(builder, 0), *((at - first).opaque() for at in others)]
        sums = [[v.room(v.zero) for _ in range(vectors)] for _ in range(rows)]

        def step(across: Word, along: Word) -> None:
            factors = [v.load(along + i * v.bytes, aligned=True) for i in range(vectors)]
            for start, line in zip(starts, sums, strict=True):
                left = v.repeat(across + start)
                for slot, factor in zip(line, factors, strict=True):
                    builder.store(v.fma(left, factor, builder.load(slot)), slot)

        for r in range(rows):
            v.fetch(c + c_row * r, vectors)
        loop(depth, [(a, a_column), (panel, Word(builder, vectors * v.bytes))], step, UNROLLED)
        scale, keep = (spread(builder, v.type, value) for value in (alpha, beta))
        fresh = builder.fcmp_ordered("==", beta, ir.Constant(ITEMS[kind], 0.0))

        def write(whole: bool) -> None:
            for r, line in enumerate(sums):
                for i, slot in enumerate(line):
                    mask = None
                    if not whole:
                        mask = v.first((columns - i * lanes).select(tall < r + 1, 0, columns - i * lanes))
                    place = c + c_row * r + i * v.bytes
                    old = builder.select(fresh, v.zero, builder.fmul(v.load(place, mask), keep))
                    v.store(v.fma(builder.load(slot), scale, old), place, mask)

        lacks = builder.or_(tall < rows, columns < vectors * lanes)
        with builder.if_else(lacks, likely=False) as (yes, no):
            with yes:
                write(whole=False)
            with no:
                write(whole=True)

    return tile


def _pack(kind: str, lanes: int) -> Any:
    width = PAIR * lanes

    @instruction(types.void, *[types.int64] * 6)
    def pack(builder: Any, *values: Any) -> None:
        """panel[j, i] = source[i, j]: ``source, row, column, there, count, panel``, for ``count`` columns.

        The rows are those ``there``, at least one and at most two vectors of them; in place of others is a zero or an
        item of the last one.
        """
        source, row, column, there, count, panel = (Word(builder, value) for value in values)
        v = Vectors(builder, kind, lanes)
        zero, line = Word(builder, 0), Word(builder, width * v.size)
        masks = [v.first(there - i * lanes) for i in range(PAIR)]

        def together(at: Word, target: Word) -> None:
            for i, mask in enumerate(masks):
                v.store(v.load(at + i * v.bytes, mask), target + i * v.bytes)

        rows = [at - source for at in clamped(source, row, width, there)]

        def square(at: Word, target: Word) -> None:
            for i in range(PAIR):
                block = [v.load(at + offset) for offset in rows[i * lanes : (i + 1) * lanes]]
                for j, vector in enumerate(transposed(builder, block)):
                    v.store(vector, target + (j * width + i * lanes) * v.size)

        def single(at: Word, target: Word) -> None:
            def item(number: Word, place: Word) -> None:
                v.store_item(v.load_item(at + number.at_most(there - 1) * row), place)

            loop(Word(builder, width), [(zero, Word(builder, 1)), (target, Word(builder, v.size))], item)

        dense = (row - v.size).is_zero()
        squares = (count // lanes).select((column - v.size).is_zero(), count // lanes, 0)
        squares = squares.select(dense, 0, squares)
        done = squares * lanes
        loop(count.select(dense, count, 0), [(source, column), (panel, line)], together)
        loop(squares, [(source, column * lanes), (panel, line * lanes)], square)
        rest = count.select(dense, 0, count - done)
        loop(rest, [(source + column * done, column), (panel + line * done, line)], single)

    return pack


def _pack_side(kind: str, number: int, lanes: int) -> Any:
    @instruction(types.void, *[types.int64] * 5)
    def pack_side(builder: Any, *values: Any) -> None:
        """What ``pack`` does, for several panels whose rows lie together and are all there.

        ``source, column, count, first, apart``: panels are so far apart. A line of the cache is read once, though a
        panel may have a part of it.
        """
        source, column, count, first, apart = (Word(builder, value) for value in values)
        v = Vectors(builder, kind, lanes)

        def together(at: Word, target: Word) -> None:
            for panel in range(number):
                for i in range(PAIR):
                    v.store(v.load(at + (panel * PAIR + i) * v.bytes), target + i * v.bytes)
                target += apart

        loop(count, [(source, column), (first, Word(builder, PAIR * v.bytes))], together)

    return pack_side


def _turn(kind: str, rows: int) -> Any:
    @instruction(types.void, *[types.int64] * 7)
    def turn(builder: Any, *values: Any) -> None:
        """strips[i // rows, p, i % rows] = A[i, p], of ``tall`` rows and of ``depth`` columns that are far apart.

        ``a, a_row, a_column, strips, apart, depth, tall``: strips are so far apart.
        """
        a, a_row, a_column, strips, apart, depth, tall = (Word(builder, value) for value in values)
        item, line = Vectors(builder, kind, 1), Vectors(builder, kind, rows)
        whole = tall // rows
        rest = tall - whole * rows
        dense = whole.select((a_row - item.size).is_zero(), whole, 0)  # strips whose columns' items lie together
        column, strip = [a_column, Word(builder, line.bytes)], [a_row * rows, apart]

        def items(source: Word, target: Word, there: Word | None = None) -> None:
            places = clamped(source, a_row, rows, Word(builder, rows) if there is None else there)
            for r, place in enumerate(places):
                item.store_item(item.load_item(place), target + r * item.size)

        def others(*at: Word) -> None:
            """What is not dense of a column."""
            loop(whole - dense, [(start + dense * step, step) for start, step in zip(at, strip, strict=True)], items)
            with builder.if_then(Word(builder, 0) < rest, likely=False):
                source, target = (start + whole * step for start, step in zip(at, strip, strict=True))
                items(source, target, rest)

        def columns(count: int, *at: Word) -> None:
            """Some columns side by side: together they fill lines of the cache, and take few turns."""

            def together(source: Word, target: Word) -> None:
                for i in range(count):
                    line.store(line.load(source), target + i * line.bytes)
                    source = (source + a_column).opaque()

            loop(dense, list(zip(at, strip, strict=True)), together)
            with builder.if_then(dense * rows < tall):
                loop(Word(builder, count), list(zip(at, column, strict=True)), others)

        groups = depth // _COLUMNS
        done = groups * _COLUMNS
        starts = [(start, step * _COLUMNS) for start, step in zip((a, strips), column, strict=True)]
        loop(groups, starts, functools.partial(columns, _COLUMNS))
        rests = [(start + done * step, step) for start, step in zip((a, strips), column, strict=True)]
        loop(depth - done, rests, functools.partial(columns, 1))

    return turn


def _each_vector(v: Vectors, count: Word, starts: Sequence[Word], body: Callable[..., None]) -> None:
    """``body(*addresses, mask=...)`` for each vector of so many items, the last of which may be there in part."""
    builder = count.builder
    whole = count // v.lanes
    rest = count - whole * v.lanes
    loop(whole, [(start, Word(builder, v.bytes)) for start in starts], body)
    with builder.if_then(Word(builder, 0) < rest, likely=False):
        body(*(start + whole * v.bytes for start in starts), mask=v.first(rest))


def _scale(kind: str, lanes: int) -> Any:
    word = types.int64

    @instruction(types.void, *[word] * 4, _NUMBERS[kind])
    def scale(builder: Any, *values: Any) -> None:
        """C[m, n] = beta * C: ``c, c_row, m, n, beta``. C's old items do not count where beta is 0."""
        c, c_row, m, n = (Word(builder, value) for value in values[:4])
        v = Vectors(builder, kind, lanes)
        keep = spread(builder, v.type, values[4])
        fresh = builder.fcmp_ordered("==", values[4], ir.Constant(ITEMS[kind], 0.0))

        def part(at: Word, mask: Any = None) -> None:
            v.store(builder.select(fresh, v.zero, builder.fmul(v.load(at, mask), keep)), at, mask)

        loop(m, [(c, c_row)], lambda row: _each_vector(v, n, [row], part))

    return scale


def _dots(kind: str, lanes: int) -> Any:
    word = types.int64

    @instruction(types.void, *[word] * 6, _NUMBERS[kind])
    def dots(builder: Any, *values: Any) -> None:
        """c[n] += alpha * (a[k] @ B[k, n]) for a dense a and dense columns: ``a, b, b_column, c, k, n, alpha``."""
        a, b, b_column, c, k, n = (Word(builder, value) for value in values[:6])
        v = Vectors(builder, kind, lanes)
        blocks = k // (_APART * lanes)
        block = Word(builder, _APART * v.bytes)
        rest = k - blocks * (_APART * lanes)

        def dot(column: Word, place: Word) -> None:
            sums = [v.room(v.zero) for _ in range(_APART)]

            def part(slot: Any, x: Word, y: Word, mask: Any = None) -> None:
                builder.store(v.fma(v.load(x, mask), v.load(y, mask), builder.load(slot)), slot)

            def parts(x: Word, y: Word) -> None:
                for i, slot in enumerate(sums):
                    part(slot, x + i * v.bytes, y + i * v.bytes)

            loop(blocks, [(a, block), (column, block)], parts)
            _each_vector(v, rest, [a + block * blocks, column + block * blocks], functools.partial(part, sums[0]))
            first, second, third, fourth = (builder.load(slot) for slot in sums)
            total = v.sum(builder.fadd(builder.fadd(first, second), builder.fadd(third, fourth)))
            v.store_item(builder.fadd(v.load_item(place), builder.fmul(values[6], total)), place)

        loop(n, [(b, b_column), (c, Word(builder, v.size))], dot)

    return dots


def _add_rows(kind: str, lanes: int) -> Any:
    word = types.int64

    @instruction(types.void, *[word] * 8, _NUMBERS[kind])
    def add_rows(builder: Any, *values: Any) -> None:
        """c[n] += alpha * (a[k] @ B[k, n]): ``a, a_column, b, b_row, b_column, c, k, n, alpha``."""
        a, a_column, b, b_row, b_column, c, k, n = (Word(builder, value) for value in values[:8])
        v, one = Vectors(builder, kind, lanes), Vectors(builder, kind, 1)
        dense = (b_column - v.size).is_zero()

        def rows(count: int, x: Word, y: Word) -> None:
            """Some rows of B, at ``y``, times their items of a, at ``x``."""
            factors = [builder.fmul(values[8], v.load_item(x + a_column * i)) for i in range(count)]

            def part(width: Vectors, at: Word, place: Word, mask: Any = None) -> None:
                # Written with fused operations: LLVM would fuse alike in vectors and in items on some processors only.
                terms = [
                    (spread(builder, width.type, factor), width.load(at + b_row * i, mask))
                    for i, factor in enumerate(factors)
                ]
                old = width.load(place, mask)
                if count == 1:
                    total = width.fma(*terms[0], old)
                else:
                    pairs = [
                        width.fma(*second, builder.fmul(*first))
                        for first, second in zip(terms[::2], terms[1::2], strict=True)
                    ]
                    total = builder.fadd(old, builder.fadd(*pairs))
                width.store(total, place, mask)

            _each_vector(v, n.select(dense, n, 0), [y, c], functools.partial(part, v))
            step = Word(builder, v.size)
            loop(n.select(dense, 0, n), [(y, b_column), (c, step)], functools.partial(part, one))

        whole = k // _APART
        done = whole * _APART
        loop(whole, [(a, a_column * _APART), (b, b_row * _APART)], functools.partial(rows, _APART))
        loop(k - done, [(a + a_column * done, a_column), (b + b_row * done, b_row)], functools.partial(rows, 1))

    return add_rows


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


_MAKERS: dict[str, Callable[..., Any]] = {
    "tile": _tile,
    "pack": _pack,
    "pack_side": _pack_side,
    "turn": _turn,
    "scale": _scale,
    "dots": _dots,
    "add_rows": _add_rows,
    "stack": _stack,
}
