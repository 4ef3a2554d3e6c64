"""Register tiles of convolutions: the instructions that their kernels are written with.

``conv_<dtype>_<rows>x<vectors>x<lanes>`` computes some places of a row of a convolution for a few channels,
``conv_transpose_...`` the same of its adjoint by the input, and ``correlate_...`` adds a piece of a row to a few sums
of its adjoint by the weight, which ``add_up_...`` finishes. Sums stay in registers. What they need to know, such as
sizes and strides in bytes, they read from the kernel's table; a comment ``# words: ...`` in the source names its words.
This leaves few lines to Numba, which takes milliseconds for each.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from graphc.runtime.emit import WORD, cgutils, instruction, types
from graphc.runtime.tiles import ITEMS, spread, vector_at

__all__ = ["conv_tile_names"]

_TILE = re.compile(r"\b(conv|conv_transpose|correlate|add_up)_(f32|f64)_(\d+)x(\d+)x(\d+)\b")
_WORDS = re.compile(r"# words: (.*)")
_LANE = ir.IntType(32)


def conv_tile_names(source: str) -> dict[str, Any]:
    """The instructions of this kind that a source mentions, by name."""
    found: dict[str, Any] = {}
    for name, kind, *sizes in set(_TILE.findall(source)):
        words = tuple(_WORDS.findall(source)[0].split(", "))
        made = _MAKERS[name](name, kind, *map(int, sizes), words)
        found["{}_{}_{}x{}x{}".format(name, kind, *sizes)] = made
    return found


class _Word:
    """An integer of the running kernel, with Python's operators; divisors are positive."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = ir.Constant(WORD, value) if isinstance(value, int) else value

    def _of(self, other: _Word | int) -> Any:
        return other.value if isinstance(other, _Word) else ir.Constant(WORD, other)

    def __add__(self, other: _Word | int) -> _Word:
        return _Word(self.builder, self.builder.add(self.value, self._of(other)))

    def __sub__(self, other: _Word | int) -> _Word:
        return _Word(self.builder, self.builder.sub(self.value, self._of(other)))

    def __mul__(self, other: _Word | int) -> _Word:
        return _Word(self.builder, self.builder.mul(self.value, self._of(other)))

    def __floordiv__(self, other: _Word | int) -> _Word:
        # Exact for numbers of less than 52 bits, and without the branches that LLVM makes of a division of integers.
        double = ir.DoubleType()
        parts = (self.builder.sitofp(value, double) for value in (self.value, self._of(other)))
        quotient = self.builder.fdiv(*parts)
        floor = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(double, [double]), "llvm.floor.f64"
        )
        return _Word(self.builder, self.builder.fptosi(self.builder.call(floor, [quotient]), WORD))

    def __mod__(self, other: _Word | int) -> _Word:
        return self - self // other * other

    def __neg__(self) -> _Word:
        return _Word(self.builder, self.builder.neg(self.value))

    def __lt__(self, other: _Word | int) -> Any:
        return self.builder.icmp_signed("<", self.value, self._of(other))

    def is_zero(self) -> Any:
        return self.builder.icmp_signed("==", self.value, ir.Constant(WORD, 0))

    def least(self, other: _Word | int) -> _Word:
        return self.select(self < other, self, other)

    def most(self, other: _Word | int) -> _Word:
        return self.select(self < other, other, self)

    def select(self, condition: Any, yes: _Word | int, no: _Word | int) -> _Word:
        return _Word(self.builder, self.builder.select(condition, self._of(yes), self._of(no)))


class _Table:
    """The kernel's words by name."""

    def __init__(self, builder: Any, table: Any, names: Sequence[str]) -> None:
        self._builder, self._table = builder, table
        self._index = {name: index for index, name in enumerate(names)}

    def __getitem__(self, name: str) -> _Word:
        place = self._builder.gep(self._table, [ir.Constant(WORD, self._index[name])], inbounds=True)
        value = self._builder.load(place)
        value.set_metadata("invariant.load", self._builder.module.add_metadata([]))
        return _Word(self._builder, value)


class _Vectors:
    """Vectors of one type: memory, arithmetic, and what stays of those that are only there in part."""

    def __init__(self, builder: Any, kind: str, lanes: int) -> None:
        self.builder = builder
        self.kind, self.lanes = kind, lanes
        self.size = 4 if kind == "f32" else 8
        self.type = ir.VectorType(ITEMS[kind], lanes)
        self.zero = ir.Constant(self.type, None)
        self._mask_type = ir.VectorType(ir.IntType(1), lanes)

    @property
    def bytes(self) -> int:
        return self.lanes * self.size

    def _function(self, name: str, result: Any, *parameters: Any) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, parameters), name)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        name = f"llvm.fma.v{self.lanes}{self.kind}"
        return self.builder.call(self._function(name, self.type, *[self.type] * 3), [x, y, z])

    def add_product(self, slot: Any, x: Any, y: Any) -> None:
        """Add a product to what a variable holds."""
        self.builder.store(self.fma(x, y, self.builder.load(slot)), slot)

    def repeat(self, address: _Word) -> Any:
        """The item at an address in every lane."""
        item = self.builder.load(self.builder.inttoptr(address.value, ITEMS[self.kind].as_pointer()))
        return spread(self.builder, self.type, item)

    def first(self, count: _Word) -> Any:
        """The mask of the first lanes."""
        number = self.builder.trunc(count.value, _LANE)
        lanes = ir.Constant(ir.VectorType(_LANE, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", lanes, spread(self.builder, lanes.type, number))

    def load(self, address: _Word, mask: Any = None) -> Any:
        """The items at an address; zeros, unread, in lanes that the mask leaves out."""
        place = vector_at(self.builder, self.type, address.value)
        if mask is None:
            return self.builder.load(place, align=self.size)
        name = f"llvm.masked.load.v{self.lanes}{self.kind}.p0"
        load = self._function(name, self.type, place.type, _LANE, self._mask_type, self.type)
        return self.builder.call(load, [place, ir.Constant(_LANE, self.size), mask, self.zero])

    def store(self, value: Any, address: _Word, mask: Any = None) -> None:
        """Write the lanes that the mask has; all without one."""
        place = vector_at(self.builder, self.type, address.value)
        if mask is None:
            self.builder.store(value, place, align=self.size)
            return
        name = f"llvm.masked.store.v{self.lanes}{self.kind}.p0"
        store = self._function(name, ir.VoidType(), self.type, place.type, _LANE, self._mask_type)
        self.builder.call(store, [value, place, ir.Constant(_LANE, self.size), mask])

    def store_sum(self, value: Any, address: _Word) -> None:
        """Write the sum of the lanes, added in pairs."""
        width = self.lanes
        while width > 1:
            width //= 2
            halves = [
                ir.Constant(ir.VectorType(_LANE, width), list(range(start, start + width))) for start in (0, width)
            ]
            low, high = (self.builder.shuffle_vector(value, value, half) for half in halves)
            value = self.builder.fadd(low, high)
        item = self.builder.extract_element(value, ir.Constant(_LANE, 0))
        self.builder.store(item, self.builder.inttoptr(address.value, ITEMS[self.kind].as_pointer()))

    def room(self, start: Any) -> Any:
        """A variable for a vector, which LLVM keeps in a register."""
        with self.builder.goto_entry_block():
            slot = self.builder.alloca(self.type)
        self.builder.store(start, slot)
        return slot


def _as_written(module: Any) -> Any:
    """The mark of a loop that LLVM is not to unroll: it would find most of them too short to enter."""
    mark = ir.MDValue(module, (), name=str(len(module.metadata)))
    mark.operands = (mark, module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")]))
    return mark


def _loop(count: _Word, steps: Sequence[tuple[_Word, _Word]], body: Callable[..., None]) -> None:
    """Run ``body(*numbers)`` so many times, each number greater by its step from one time to the next."""
    builder = count.builder
    entry = builder.block
    loop, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(_Word(builder, 0) < count, loop, done)
    builder.position_at_end(loop)
    moving = [(builder.phi(WORD), start, step) for start, step in ((count, _Word(builder, -1)), *steps)]
    for number, start, _ in moving:
        number.add_incoming(start.value, entry)
    left, *numbers = (_Word(builder, number) for number, _, _ in moving)
    body(*numbers)
    moved = [_Word(builder, number) + step for number, _, step in moving]
    for (number, _, _), further in zip(moving, moved, strict=True):
        number.add_incoming(further.value, builder.block)
    branch = builder.cbranch(_Word(builder, 1) < left, loop, done)
    branch.set_metadata("llvm.loop", _as_written(builder.module))
    builder.position_at_end(done)


def _clamped(start: _Word, stride: _Word, count: int, there: _Word) -> list[_Word]:
    """Addresses of rows; the last one that is there stands for those that are not."""
    rows = [start]
    for row in range(1, count):
        missing = there < row + 1
        rows.append(start.select(missing, rows[-1], rows[-1] + stride))
    return rows


def _taps(table: _Table, axis: int, place: _Word) -> tuple[_Word, _Word, _Word, _Word, _Word]:
    """The window items that a place of a convolution reads along an axis: an arithmetic progression.

    The first one, how many there are, which item of the input the first one meets; and how far it is from one to the
    next, in bytes, in the input and in the weight.
    """
    stride, low, dilation, window, size, x, w = (
        table[f"{name}{axis}"] for name in ("stride", "low", "dilation", "window", "image", "x", "w")
    )
    start = place * stride - low
    first = (-(start // dilation)).most(0)
    count = window.least((size - 1 - start) // dilation + 1) - first
    return first, count, start + first * dilation, dilation * x, w


def _adjoint_taps(table: _Table, axis: int, place: _Word) -> tuple[_Word, _Word, _Word, _Word, _Word]:
    """The same for a place of the adjoint: the windows that cover it.

    Item k of window j covers the place p where j * stride + k * dilation == p + low. Divided by the greatest common
    divisor of stride and dilation, modulo the stride, this gives the least k; and so does the remainder whether there
    is any.
    """
    stride, low, dilation, window, size, x, w, common, inverse, skip, back = (
        table[f"{name}{axis}"]
        for name in (
            "stride", "low", "dilation", "window", "places", "x", "w", "common", "inverse", "skip", "back",
        )
    )  # fmt: skip
    target = place + low
    least = (target // common * inverse) % skip
    start = (target - least * dilation) // stride
    beyond = ((start - size + back) // back).most(0)
    first, item = least + beyond * skip, start - beyond * back
    count = ((window - 1 - first) // skip + 1).least(item // back + 1)
    return first, count.select((target % common).is_zero(), count, 0), item, -(back * x), skip * w


@functools.cache
def _conv(name: str, kind: str, rows: int, vectors: int, lanes: int, words: tuple[str, ...]) -> Any:
    word = types.int64
    find = _adjoint_taps if name == "conv_transpose" else _taps

    @instruction(types.void, types.CPointer(word), *[word] * 6)
    def conv(builder: Any, args: Any, *values: Any) -> None:
        """``args, group, row, place0, place1, place2, run``: ``run`` places, all images, channels from ``row`` on."""
        table = _Table(builder, args, words)
        group, row, *places, run = (_Word(builder, value) for value in values)
        v = _Vectors(builder, kind, lanes)
        there, n = table["rows"] - row, table["n"]
        x = table["x"] + table["x_start"] + group * table["channels"] * table["x_channel"]
        w = table["w"] + table["w_start"] + group * table["w_group"] + row * table["w_row"]
        y = table["y"] + table["y_start"] + (group * table["rows"] + row) * table["y_channel"]
        levels = [(table["channels"], table["x_channel"], table["w_channel"])]
        for axis, place in enumerate(places):
            first, count, item, x_step, w_step = find(table, axis, place)
            x, w = x + item * table[f"x{axis}"], w + first * table[f"w{axis}"]
            y = y + place * table[f"y{axis}"]
            levels.append((count, x_step, w_step))
        w_rows = [at - w for at in _clamped(w, table["w_row"], rows, there)]
        y_rows = _clamped(y, table["y_channel"], rows, there)

        def part(at: _Word, width: int, mask: Any = None) -> None:
            """Some vectors, whose distance from the first item is ``at`` bytes."""
            sums = [[v.room(v.zero) for _ in range(width)] for _ in range(rows)]

            def step(x_at: _Word, w_at: _Word) -> None:
                right = [v.load(x_at + i * v.bytes, mask) for i in range(width)]
                for slots, offset in zip(sums, w_rows, strict=True):
                    left = v.repeat(w_at + offset)
                    for slot, item in zip(slots, right, strict=True):
                        v.add_product(slot, left, item)

            def nest(level: int) -> Callable[..., None]:
                if level == len(levels):
                    return step
                count, x_step, w_step = levels[level]
                return lambda x_at, w_at: _loop(count, [(x_at, x_step), (w_at, w_step)], nest(level + 1))

            nest(0)(x + at, w)
            for slots, place in zip(sums, y_rows, strict=True):
                for i, slot in enumerate(slots):
                    v.store(builder.load(slot), place + at + i * v.bytes, mask)

        items = run * n
        wide = vectors * lanes
        whole = items // wide
        zero = _Word(builder, 0)
        _loop(whole, [(zero, _Word(builder, wide * v.size))], lambda at: part(at, vectors))
        rest = items - whole * wide
        done = whole * (wide * v.size)
        each = [(done, _Word(builder, v.bytes)), (rest, _Word(builder, -lanes))]
        _loop((rest + (lanes - 1)) // lanes, each, lambda at, left: part(at, 1, v.first(left)))

    return conv


@functools.cache
def _correlate(name: str, kind: str, rows: int, columns: int, lanes: int, words: tuple[str, ...]) -> Any:
    word = types.int64

    @instruction(types.void, types.CPointer(word), *[word] * 11)
    def correlate(builder: Any, args: Any, *values: Any) -> None:
        """``args, sums, group, row, column, place0, place1, item0, item1, item2, first, last``.

        Adds to ``sums[row, column, lane]`` what the places of a row from ``first`` to ``last`` give to one item of the
        window; images whose numbers are equal modulo the lanes go to one lane.
        """
        table = _Table(builder, args, words)
        total, group, row, column, *rest = (_Word(builder, value) for value in values)
        places, window, (first, last) = rest[:2], rest[2:5], rest[5:]
        v = _Vectors(builder, kind, lanes)
        a = table["g"] + table["g_start"] + (group * table["rows"] + row) * table["g_channel"]
        b = table["x"] + table["x_start"] + (group * table["columns"] + column) * table["x_channel"]
        stride, n = table["stride2"], table["n"]
        shift = window[2] * table["dilation2"] - table["low2"]
        left = first.most(-(shift // stride))
        right = last.least((table["image2"] - 1 - shift) // stride + 1)
        for axis, place in enumerate((*places, left)):
            item = place * table[f"stride{axis}"] - table[f"low{axis}"] + window[axis] * table[f"dilation{axis}"]
            a, b = a + place * table[f"g{axis}"], b + item * table[f"x{axis}"]
        length = right - left
        for axis in range(2):
            item = places[axis] * table[f"stride{axis}"] - table[f"low{axis}"] + window[axis] * table[f"dilation{axis}"]
            outside = builder.or_(item < 0, (table[f"image{axis}"] - 1) < item)
            length = length.select(outside, 0, length)
        single = table["runs"].is_zero()
        count = length.select(single, length, length.least(1))
        items = length.select(single, n, length * n)
        lefts = [at - a for at in _clamped(a, table["g_channel"], rows, table["rows"] - row)]
        rights = [at - b for at in _clamped(b, table["x_channel"], columns, table["columns"] - column)]
        cells = [[total + (r * columns + c) * v.bytes for c in range(columns)] for r in range(rows)]
        sums = [[v.room(v.load(cell)) for cell in each] for each in cells]

        def step(a_at: _Word, b_at: _Word, mask: Any = None) -> None:
            if rows < columns:
                few = [v.load(a_at + offset, mask) for offset in lefts]
                for c, offset in enumerate(rights):
                    item = v.load(b_at + offset, mask)
                    for r in range(rows):
                        v.add_product(sums[r][c], few[r], item)
            else:
                few = [v.load(b_at + offset, mask) for offset in rights]
                for r, offset in enumerate(lefts):
                    item = v.load(a_at + offset, mask)
                    for c in range(columns):
                        v.add_product(sums[r][c], few[c], item)

        whole = items // lanes
        over = items - whole * lanes
        mask = v.first(over)
        further = _Word(builder, v.bytes)

        def each(a_at: _Word, b_at: _Word) -> None:
            _loop(whole, [(a_at, further), (b_at, further)], step)
            with builder.if_then(_Word(builder, 0) < over, likely=False):
                step(a_at + whole * v.bytes, b_at + whole * v.bytes, mask)

        _loop(count, [(a, table["g2"]), (b, stride * table["x2"])], each)
        for line, slots in zip(cells, sums, strict=True):
            for cell, slot in zip(line, slots, strict=True):
                v.store(builder.load(slot), cell)

    return correlate


@functools.cache
def _add_up(name: str, kind: str, rows: int, columns: int, lanes: int, words: tuple[str, ...]) -> Any:
    word = types.int64

    @instruction(types.void, types.CPointer(word), *[word] * 7)
    def add_up(builder: Any, args: Any, *values: Any) -> None:
        """``args, sums, group, row, column, item0, item1, item2``: the lanes of ``sums[row, column]`` to the weight."""
        table = _Table(builder, args, words)
        total, group, row, column, *window = (_Word(builder, value) for value in values)
        v = _Vectors(builder, kind, lanes)
        start = table["out"] + table["out_start"] + column * table["out_column"]
        start = start + (group * table["rows"] + row) * table["out_row"]
        for axis, item in enumerate(window):
            start = start + item * table[f"out{axis}"]
        for r, line in enumerate(_clamped(start, table["out_row"], rows, table["rows"] - row)):
            for c, cell in enumerate(_clamped(line, table["out_column"], columns, table["columns"] - column)):
                v.store_sum(v.load(total + (r * columns + c) * v.bytes), cell)

    return add_up


_MAKERS: dict[str, Callable[..., Any]] = {
    "conv": _conv,
    "conv_transpose": _conv,
    "correlate": _correlate,
    "add_up": _add_up,
}
