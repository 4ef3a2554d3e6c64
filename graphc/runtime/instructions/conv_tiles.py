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
from collections.abc import Callable
from typing import Any

from graphc.runtime.instructions.emit import instruction, types
from graphc.runtime.instructions.vectors import UNROLLED, Table, Vectors, Word, clamped, loop

__all__ = ["conv_tile_names"]

_TILE = re.compile(r"\b(conv|conv_transpose|clear|correlate|add_up)_(f32|f64)_(\d+)x(\d+)x(\d+)\b")
_WORDS = re.compile(r"# words: (.*)")
_SAME_LINES = 2047
"""Addresses that differ by multiples of about so many bytes share few lines of a first-level cache."""


def conv_tile_names(source: str) -> dict[str, Any]:
    """The instructions of this kind that a source mentions, by name."""
    found: dict[str, Any] = {}
    for name, kind, *sizes in set(_TILE.findall(source)):
        words = tuple(_WORDS.findall(source)[0].split(", "))
        made = _MAKERS[name](name, kind, *map(int, sizes), words)
        found["{}_{}_{}x{}x{}".format(name, kind, *sizes)] = made
    return found


def _taps(table: Table, axis: int, place: Word) -> tuple[Word, Word, Word, Word, Word]:
    """The window items that a place of a convolution reads along an axis: an arithmetic progression.

    The first one, how many there are, which item of the input the first one meets; and how far it is from one to the
    next, in bytes, in the input and in the weight.
    """
    stride, low, dilation, window, size, x, w = (
        table[f"{name}{axis}"] for name in ("stride", "low", "dilation", "window", "image", "x", "w")
    )
    start = place * stride - low
    first = (-(start // dilation)).at_least(0)
    count = window.at_most((size - 1 - start) // dilation + 1) - first
    return first, count, start + first * dilation, dilation * x, w


def _adjoint_taps(table: Table, axis: int, place: Word) -> tuple[Word, Word, Word, Word, Word]:
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
    beyond = ((start - size + back) // back).at_least(0)
    first, item = least + beyond * skip, start - beyond * back
    count = ((window - 1 - first) // skip + 1).at_most(item // back + 1)
    return first, count.select((target % common).is_zero(), count, 0), item, -(back * x), skip * w


@functools.cache
def _conv(name: str, kind: str, rows: int, vectors: int, lanes: int, words: tuple[str, ...]) -> Any:
    word = types.int64
    find, size = (_adjoint_taps, "image2") if name == "conv_transpose" else (_taps, "places2")

    @instruction(types.void, types.CPointer(word), *[word] * 6)
    def conv(builder: Any, args: Any, *values: Any) -> None:
        """``args, group, share, place0, place1, piece, done``: a piece of a row of places, for a share of the channels.

        It sums over channels of the input from ``done`` on, so many that what a few vectors of items read stays in the
        first-level cache for all channels of the share.
        """
        table = Table(builder, args, words)
        group, share, *places, piece, done = (Word(builder, value) for value in values)
        v = Vectors(builder, kind, lanes)
        zero, one = Word(builder, 0), Word(builder, 1)
        block = share * table["together"]
        blocks, row = table["together"].at_most(table["blocks"] - block), block * rows
        x_row = table["x"] + table["x_start"] + (group * table["channels"] + done) * table["x_channel"]
        w_row = table["w"] + table["w_start"] + group * table["w_group"] + row * table["w_row"]
        w_row = w_row + done * table["w_channel"]
        y_row = table["y"] + table["y_start"] + (group * table["rows"] + row) * table["y_channel"]
        biased = "bias" in words
        bias_step = table["bias_row"] if biased else zero
        bias_row = table["bias"] + table["bias_start"] + (group * table["rows"] + row) * bias_step if biased else zero
        outer = []
        for axis, place in enumerate(places):
            first, count, item, x_step, w_step = find(table, axis, place)
            x_row, w_row = x_row + item * table[f"x{axis}"], w_row + first * table[f"w{axis}"]
            y_row = y_row + place * table[f"y{axis}"]
            outer.append((count, x_step, w_step))
        near = (table["channels"] - done).at_most(table["near"])
        channels = (near, table["x_channel"], table["w_channel"])

        def stretch(place: Word, run: Word) -> None:
            """Places that read alike, next to each other."""
            first, count, item, x_step, w_step = find(table, 2, place)
            x, w, y = x_row + item * table["x2"], w_row + first * table["w2"], y_row + place * table["y2"]
            # The longest loop is the innermost, unless its steps all meet the same few lines of the first-level cache.
            apart = builder.or_(builder.not_((channels[1] & _SAME_LINES).is_zero()), count < 2)
            swap = builder.and_(count < channels[0], apart)
            pairs = list(zip(channels, (count, x_step, w_step), strict=True))
            levels = [
                outer[0],
                [zero.select(swap, b, a) for a, b in pairs],
                outer[1],
                [zero.select(swap, a, b) for a, b in pairs],
            ]

            def part(x: Word, w: Word, y: Word, bias: Word, there: Word, width: int, mask: Any = None) -> None:
                """Some vectors of one block of channels."""
                w_rows = [at - w for at in clamped(w, table["w_row"], rows, there)]
                starts = [v.zero] * rows
                if biased:
                    starts = [v.repeat(at) for at in clamped(bias, bias_step, rows, there)]
                sums = [[v.room(start) for _ in range(width)] for start in starts]
                targets = [
                    [at + i * v.bytes for i in range(width)] for at in clamped(y, table["y_channel"], rows, there)
                ]
                with builder.if_then(zero < done, likely=False):
                    for slots, line in zip(sums, targets, strict=True):
                        for slot, target in zip(slots, line, strict=True):
                            builder.store(v.load(target, mask), slot)

                def step(x_at: Word, w_at: Word) -> None:
                    lefts = [lambda offset=offset: v.repeat(w_at + offset) for offset in w_rows]
                    rights = [lambda i=i: v.load(x_at + i * v.bytes, mask) for i in range(width)]
                    v.add_products(sums, lefts, rights)

                def nest(level: int) -> Callable[..., None]:
                    if level == len(levels):
                        return step
                    count, x_step, w_step = levels[level]
                    times = UNROLLED if level == len(levels) - 1 else 1
                    return lambda x_at, w_at: loop(count, [(x_at, x_step), (w_at, w_step)], nest(level + 1), times)

                nest(0)(x, w)
                for slots, line in zip(sums, targets, strict=True):
                    for slot, target in zip(slots, line, strict=True):
                        v.store(builder.load(slot), target, mask)

            def all_blocks(at: Word, width: int, mask: Any = None) -> None:
                """Some vectors, ``at`` bytes from the first item, of all blocks."""
                steps = [
                    (w, table["w_row"] * rows),
                    (y + at, table["y_channel"] * rows),
                    (bias_row, bias_step * rows),
                    (table["rows"] - row, one * -rows),
                ]
                loop(blocks, steps, lambda w, y, bias, there: part(x + at, w, y, bias, there, width, mask))

            items = run * table["n"]
            wide = vectors * lanes
            whole = items // wide
            over = items - whole * wide
            # Where more than a vector is left over, the last tile goes back over items that are done; not where these
            # are sums that have some channels already.
            back = builder.and_(table["parts"] < 2, builder.and_(zero < whole, one * lanes < over))
            again = over.select(back, one, zero)
            last = (items - wide) * v.size
            loop(
                whole + again,
                [(zero, one * (wide * v.size))],
                lambda at: all_blocks(at.at_most(last), vectors),
            )
            rest = over * (one - again)
            each = [((items - rest) * v.size, one * v.bytes), (rest, one * -lanes)]
            loop((rest + (lanes - 1)) // lanes, each, lambda at, left: all_blocks(at, 1, v.first(left)))

        first = piece * table["piece"]
        end = (first + table["piece"]).at_most(table[size])
        start = table["run_first"].at_least(first).at_most(end)
        length = table["run_last"].at_most(end).at_least(start) - start
        single = length.at_most(1)  # how many stretches the run is

        def each_stretch(number: Word) -> None:
            beyond = start < number
            at_run = builder.and_((number - start).is_zero(), zero < length)
            stretch(number + zero.select(beyond, length - single, zero), one.select(at_run, length, one))

        loop(end - first - length + single, [(first, one)], each_stretch)

    return conv


def _taps_there(table: Table, first: Word) -> Word:
    """How many of the window's items from ``first`` on there are sums for at a time."""
    return (table["window2"] - first).at_most(table["taps"])


def _columns(table: Table, channel: Word, item: Word, count: int) -> list[tuple[Word, Word]]:
    """Pairs of a channel and an item of the window's middle axis, in the order in which the weight has them."""
    pairs = [(channel, item)]
    for _ in range(1, count):
        channel, item = pairs[-1]
        last = (item + 1 - table["window1"]).is_zero()
        pairs.append((channel.select(last, channel + 1, channel), item.select(last, 0, item + 1)))
    return pairs


@functools.cache
def _clear(name: str, kind: str, rows: int, columns: int, lanes: int, words: tuple[str, ...]) -> Any:
    word = types.int64

    @instruction(types.void, types.CPointer(word), word, word)
    def clear(builder: Any, args: Any, *values: Any) -> None:
        """``args, sums, item2``: zeros for the sums of the window's items from ``item2`` on."""
        sums, first = (Word(builder, value) for value in values)
        v = Vectors(builder, kind, lanes)
        count = _taps_there(Table(builder, args, words), first) * (rows * columns)
        loop(count, [(sums, Word(builder, v.bytes))], lambda cell: v.store(v.zero, cell))

    return clear


@functools.cache
def _correlate(name: str, kind: str, rows: int, columns: int, lanes: int, words: tuple[str, ...]) -> Any:
    word = types.int64

    @instruction(types.void, types.CPointer(word), *[word] * 10)
    def correlate(builder: Any, args: Any, *values: Any) -> None:
        """``args, sums, group, row, channel, place0, place1, piece, item0, item1, item2``.

        Adds to ``sums[item, row, column, lane]`` what the places of one piece of a row give to the window's items from
        ``item2`` on; images whose numbers are equal modulo the lanes go to one lane. The columns are pairs of channels
        and items of the window's middle axis, from ``channel, item1`` on. Those that lie outside, or that lack, read
        what is inside and add it to cells behind all others.
        """
        table = Table(builder, args, words)
        total, group, row, channel, place0, place1, piece, item0, item1, item2 = (
            Word(builder, value) for value in values
        )
        v = Vectors(builder, kind, lanes)
        zero, one = Word(builder, 0), Word(builder, 1)
        stride, n, runs = table["stride2"], table["n"], table["runs"]
        at0 = place0 * table["stride0"] - table["low0"] + item0 * table["dilation0"]
        a = table["g"] + table["g_start"] + (group * table["rows"] + row) * table["g_channel"]
        a = a + place0 * table["g0"] + place1 * table["g1"]
        b = table["x"] + table["x_start"] + group * table["columns"] * table["x_channel"] + at0 * table["x0"]
        lefts = [at - a for at in clamped(a, table["g_channel"], rows, table["rows"] - row)]
        rights, insides = [], []
        for each_channel, item in _columns(table, channel, item1, columns):
            at1 = place1 * table["stride1"] - table["low1"] + item * table["dilation1"]
            inside = builder.and_(at1.within(table["image1"]), each_channel < table["columns"])
            insides.append(builder.and_(inside, at0.within(table["image0"])))
            near = at1.at_least(0).at_most(table["image1"] - 1) * table["x1"]
            rights.append(each_channel.at_most(table["columns"] - 1) * table["x_channel"] + near)
        taps = zero.select(functools.reduce(builder.or_, insides), _taps_there(table, item2), zero)
        spare = total + table["taps"] * (rows * columns * v.bytes)
        first = piece * table["piece"]
        last = (first + table["piece"]).at_most(table["places2"])

        def tap(cell: Word, shift: Word) -> None:
            """What one item of the window, whose distance from the start of the first window is ``shift``, gets."""
            start = first.at_least(-(shift // stride))
            length = last.at_most((table["image2"] - 1 - shift) // stride + 1) - start
            single = runs.is_zero()
            count = length.select(single, length, length.at_most(1))
            items = length.select(single, n, length * n)
            starts = [spare.select(inside, cell, spare) for inside in insides]
            cells = [[start + (r * columns + c) * v.bytes for c, start in enumerate(starts)] for r in range(rows)]
            sums = [[v.room(v.load(cell)) for cell in line] for line in cells]

            def step(a_at: Word, b_at: Word, mask: Any = None) -> None:
                few = [lambda offset=offset: v.load(a_at + offset, mask) for offset in lefts]
                others = [lambda offset=offset: v.load(b_at + offset, mask) for offset in rights]
                v.add_products(sums, few, others)

            whole = items // lanes
            over = items - whole * lanes
            mask = v.first(over)
            further = Word(builder, v.bytes)

            def each(a_at: Word, b_at: Word) -> None:
                loop(whole, [(a_at, further), (b_at, further)], step, UNROLLED)
                with builder.if_then(zero < over, likely=False):
                    step(a_at + whole * v.bytes, b_at + whole * v.bytes, mask)

            a_start, b_start = a + start * table["g2"], b + (start * stride + shift) * table["x2"]
            loop(count, [(a_start, table["g2"]), (b_start, stride * table["x2"])], each)
            for line, slots in zip(cells, sums, strict=True):
                for place, slot in zip(line, slots, strict=True):
                    v.store(builder.load(slot), place)

        shift = item2 * table["dilation2"] - table["low2"]
        loop(taps, [(total, one * (rows * columns * v.bytes)), (shift, table["dilation2"])], tap)

    return correlate


@functools.cache
def _add_up(name: str, kind: str, rows: int, columns: int, lanes: int, words: tuple[str, ...]) -> Any:
    word = types.int64

    @instruction(types.void, types.CPointer(word), *[word] * 7)
    def add_up(builder: Any, args: Any, *values: Any) -> None:
        """``args, sums, group, row, channel, item0, item1, item2``: the lanes' sums become items of the weight."""
        table = Table(builder, args, words)
        sums, group, row, channel, item0, item1, item2 = (Word(builder, value) for value in values)
        v = Vectors(builder, kind, lanes)
        one = Word(builder, 1)
        start = table["out"] + table["out_start"] + item0 * table["out0"] + item2 * table["out2"]
        start = start + (group * table["rows"] + row) * table["out_row"]
        pairs = _columns(table, channel, item1, columns)

        def tap(cells: Word, out: Word) -> None:
            def line(cells: Word, out: Word) -> None:
                for c, (each_channel, item) in enumerate(pairs):
                    with builder.if_then(each_channel < table["columns"]):
                        place = out + each_channel * table["out_column"] + item * table["out1"]
                        v.store_item(v.sum(v.load(cells + c * v.bytes)), place)

            there = (table["rows"] - row).at_most(rows)
            loop(there, [(cells, one * (columns * v.bytes)), (out, table["out_row"])], line)

        taps = _taps_there(table, item2)
        loop(taps, [(sums, one * (rows * columns * v.bytes)), (start, table["out2"])], tap)

    return add_up


_MAKERS: dict[str, Callable[..., Any]] = {
    "conv": _conv,
    "conv_transpose": _conv,
    "clear": _clear,
    "correlate": _correlate,
    "add_up": _add_up,
}
