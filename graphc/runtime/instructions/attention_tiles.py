"""Register tiles of attention: the instructions that its kernels are written with, beside the tiles of products.

They work on panels: blocks of rows, each two vectors wide, one lane for each of a strip of queries or of keys.
``pack_<dtype>_<lanes>``, of products, reads a strip of a matrix into a panel, and ``unpack_...`` writes one back;
``forbid_...`` and its variants for masks apply what a query may not attend to; ``exponentials_...`` and ``finish_...``
are the running softmax of Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"; ``slopes_...`` gives
the cotangents of scores. ``item_<axes>`` finds a batch item. Addresses and strides are in bytes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from graphc.runtime.instructions.emit import WORD, instruction, types
from graphc.runtime.instructions.mathlib import exp, log
from graphc.runtime.instructions.scalar import INFINITY, Scalar, where
from graphc.runtime.instructions.tiles import PAIR
from graphc.runtime.instructions.vectors import ITEMS, Vectors, Word, loop, spread, transposed

__all__ = ["attention_tile_names"]

_ITEM = re.compile(r"\bitem_(\d+)\b")


def attention_tile_names(source: str) -> dict[str, Any]:
    """The instructions of this kind that a source mentions, by name."""
    found = {
        f"{name}_{kind}_{lanes}": _MAKERS[name](kind, int(lanes)) for name, kind, lanes in set(_TILE.findall(source))
    }
    return found | {f"item_{axes}": _item(int(axes)) for axes in set(_ITEM.findall(source))}


@functools.cache
def _item(axes: int) -> Any:
    word = types.int64

    @instruction(word, types.CPointer(word), word, word, word, word)
    def item(builder: Any, args: Any, *values: Any) -> Any:
        """``args, buffer, lengths, start, number``: where an item of a batch with several axes lies in an operand.

        ``buffer`` is the number of the word with the operand's address, ``lengths`` of the first of those with the
        lengths of the axes, and ``start`` of that with the offset, behind which are the steps along the axes.
        """
        buffer, lengths, start, number = (Word(builder, value) for value in values)

        def read(at: Word) -> Word:
            return Word(builder, builder.load(builder.gep(args, [at.value], inbounds=True)))

        address = read(buffer) + read(start)
        for axis in reversed(range(axes)):
            length = read(lengths + axis)
            address = address + number % length * read(start + (axis + 1))
            number = number // length
        return address.value

    return item


class _Panel:
    """Rows of two vectors from an address on."""

    def __init__(self, builder: Any, kind: str, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.v = Vectors(builder, kind, lanes)
        self.number = types.float32 if kind == "f32" else types.float64
        self.bytes = PAIR * self.v.bytes

    def word(self, value: Any) -> Word:
        return Word(self.builder, value)

    def load(self, row: Word) -> list[Scalar]:
        return [Scalar(self.builder, self.number, self.v.load(row + i * self.v.bytes)) for i in range(PAIR)]

    def store(self, values: Sequence[Scalar], row: Word) -> None:
        for i, value in enumerate(values):
            self.v.store(value.value, row + i * self.v.bytes)

    def repeat(self, address: Word) -> list[Scalar]:
        """An item at an address in every lane."""
        return [Scalar(self.builder, self.number, self.v.repeat(address))] * PAIR

    def copy_item(self, source: Word, target: Word) -> None:
        pointers = [self.builder.inttoptr(at.value, ITEMS[self.v.kind].as_pointer()) for at in (source, target)]
        self.builder.store(self.builder.load(pointers[0]), pointers[1])

    def lane_numbers(self) -> list[ir.Constant]:
        """The number of each lane, as vectors of words."""
        kind = ir.VectorType(WORD, self.lanes)
        return [ir.Constant(kind, list(range(i * self.lanes, (i + 1) * self.lanes))) for i in range(PAIR)]

    def gather(self, item: ir.Type, start: Word, step: Word, there: Word) -> list[Any]:
        """Vectors of the items ``step`` bytes apart; the last one that is there stands for those that are not."""
        builder = self.builder
        vectors = []
        for i in range(PAIR):
            vector = ir.Constant(ir.VectorType(item, self.lanes), ir.Undefined)
            for lane in range(self.lanes):
                at = start + self.word(i * self.lanes + lane).at_most(there - 1) * step
                loaded = builder.load(builder.inttoptr(at.value, item.as_pointer()))
                vector = builder.insert_element(vector, loaded, ir.Constant(ir.IntType(32), lane))
            vectors.append(vector)
        return vectors


def _emitted(parameters: int, *numbers: str) -> Callable[[Callable[..., None]], Callable[[str, int], Any]]:
    """Make, of a function that emits code over a panel and words, a maker of instructions of so many words."""

    def make(emit: Callable[..., None]) -> Callable[[str, int], Any]:
        @functools.cache
        def maker(kind: str, lanes: int) -> Any:
            number = types.float32 if kind == "f32" else types.float64

            def body(builder: Any, *values: Any) -> None:
                panel = _Panel(builder, kind, lanes)
                words = [Word(builder, value) for value in values[:parameters]]
                emit(panel, *words, *(Scalar(builder, number, value) for value in values[parameters:]))

            body.__name__ = emit.__name__.strip("_")
            return instruction(types.void, *[types.int64] * parameters, *[number] * len(numbers))(body)

        return maker

    return make


@_emitted(6)
def _unpack(p: _Panel, panel: Word, count: Word, target: Word, row: Word, column: Word, there: Word) -> None:
    """target[i, j] = panel[j, i] for ``count`` columns and the rows that are there."""
    v, zero, builder = p.v, p.word(0), p.builder
    whole = builder.and_((column - v.size).is_zero(), (there - PAIR * p.lanes).is_zero())
    squares = zero.select(whole, count // p.lanes, 0)

    def square(source: Word, along: Word) -> None:
        for i in range(PAIR):
            block = [v.load(source + (j * p.bytes + i * v.bytes)) for j in range(p.lanes)]
            for lane, vector in enumerate(transposed(builder, block)):
                v.store(vector, target + row * (i * p.lanes + lane) + along)

    loop(squares, [(panel, p.word(p.lanes * p.bytes)), (zero, p.word(v.bytes))], square)

    def single(source: Word, to: Word) -> None:
        loop(there, [(source, p.word(v.size)), (to, row)], p.copy_item)

    done = squares * p.lanes
    loop(count - done, [(panel + done * p.bytes, p.word(p.bytes)), (target + done * column, column)], single)


@_emitted(6)
def _dense(p: _Panel, source: Word, row: Word, column: Word, rows: Word, count: Word, target: Word) -> None:
    """target[i, j] = source[i, j], rows of ``count`` items without gaps."""
    v, zero = p.v, p.word(0)
    vectors = zero.select((column - v.size).is_zero(), count // p.lanes, 0)
    done = vectors * p.lanes

    def each_row(source: Word, target: Word) -> None:
        loop(vectors, [(zero, p.word(v.bytes))], lambda at: v.store(v.load(source + at), target + at))

        rest = [(source + done * column, column), (target + done * v.size, p.word(v.size))]
        loop(count - done, rest, p.copy_item)

    loop(rows, [(source, row), (target, count * v.size)], each_row)


def _in_order(p: _Panel, number: Word, sign: Word) -> list[Scalar]:
    """Whether ``sign * (lane - number)`` is not negative, for each lane."""
    kind = ir.VectorType(WORD, p.lanes)
    at, direction = (spread(p.builder, kind, word.value) for word in (number, sign))
    result = []
    for lanes in p.lane_numbers():
        signed = p.builder.mul(p.builder.sub(lanes, at), direction)
        inside = p.builder.icmp_signed(">=", signed, ir.Constant(kind, [0] * p.lanes))
        result.append(Scalar(p.builder, types.boolean, inside))
    return result


@_emitted(4)
def _forbid(p: _Panel, block: Word, rows: Word, number: Word, sign: Word) -> None:
    """-inf in lanes that may not: those in row r for which ``sign * (lane - number - r)`` is negative."""

    def each(row: Word, number: Word) -> None:
        allowed = _in_order(p, number, sign)
        scores = [where(may, score, -INFINITY) for may, score in zip(allowed, p.load(row), strict=True)]
        p.store(scores, row)

    loop(rows, [(block, p.word(p.bytes)), (number, p.word(1))], each)


def _masked(p: _Panel, item: ir.Type, apply: Callable[[Any, Scalar], tuple[Scalar, Scalar]], *words: Word) -> None:
    """Apply a mask, whose item for row r and lane l lies at ``mask + r * row + l * lane``, and what ``forbid`` does.

    ``some`` are numbers, one for each lane, which become 1 where there is a row that is allowed.
    """
    block, rows, number, sign, mask, mask_row, mask_lane, there, some = words

    def each(row: Word, number: Word, mask: Word) -> None:
        limits = p.gather(item, mask, mask_lane, there)
        applied = [apply(limit, score) for limit, score in zip(limits, p.load(row), strict=True)]
        order = _in_order(p, number, sign)
        allowed = [may & inside for (may, _), inside in zip(applied, order, strict=True)]
        p.store([where(inside, score, -INFINITY) for (_, score), inside in zip(applied, order, strict=True)], row)
        p.store([where(may, 1.0, flag) for may, flag in zip(allowed, p.load(some), strict=True)], some)

    loop(rows, [(block, p.word(p.bytes)), (number, p.word(1)), (mask, mask_row)], each)


@_emitted(9)
def _forbid_bool(p: _Panel, *words: Word) -> None:
    """A mask that says who may."""

    def apply(limit: Any, score: Scalar) -> tuple[Scalar, Scalar]:
        zero = ir.Constant(limit.type, [0] * p.lanes)
        may = Scalar(p.builder, types.boolean, p.builder.icmp_unsigned("!=", limit, zero))
        return may, where(may, score, -INFINITY)

    _masked(p, ir.IntType(8), apply, *words)


@_emitted(9)
def _forbid_float(p: _Panel, *words: Word) -> None:
    """A mask that is added to the scores."""

    def apply(limit: Any, score: Scalar) -> tuple[Scalar, Scalar]:
        bias = score.like(limit)
        return bias != -INFINITY, score + bias

    _masked(p, ITEMS[p.v.kind], apply, *words)


@_emitted(3)
def _exponentials(p: _Panel, block: Word, rows: Word, state: Word) -> None:
    """Scores become exponentials of what they are above the largest so far, in each lane.

    ``state`` are four rows: that largest score, the sum of the exponentials so far, the factor that older exponentials
    get because the largest score has changed; the fourth is not used.
    """
    old = p.load(state)
    slots = [p.v.room(largest.value) for largest in old]

    def current() -> list[Scalar]:
        return [each.like(p.builder.load(slot)) for each, slot in zip(old, slots, strict=True)]

    def larger(row: Word) -> None:
        for score, largest, slot in zip(p.load(row), current(), slots, strict=True):
            p.builder.store(where(score > largest, score, largest).value, slot)

    loop(rows, [(block, p.word(p.bytes))], larger)
    new = current()
    p.store(new, state)
    shift = [where(largest == -INFINITY, 0.0, largest) for largest in new]
    factors = [exp(largest - least) for largest, least in zip(old, shift, strict=True)]
    p.store(factors, state + 2 * p.bytes)
    totals = [total * factor for total, factor in zip(p.load(state + p.bytes), factors, strict=True)]
    for total, slot in zip(totals, slots, strict=True):
        p.builder.store(total.value, slot)

    def exponential(row: Word) -> None:
        results = [exp(score - least) for score, least in zip(p.load(row), shift, strict=True)]
        p.store(results, row)
        for total, result, slot in zip(current(), results, slots, strict=True):
            p.builder.store((total + result).value, slot)

    loop(rows, [(block, p.word(p.bytes))], exponential)
    p.store(current(), state + p.bytes)


@_emitted(3)
def _stretch(p: _Panel, panel: Word, count: Word, factors: Word) -> None:
    """Multiply every row by a row of factors."""
    by = p.load(factors)

    def each(row: Word) -> None:
        p.store([item * factor for item, factor in zip(p.load(row), by, strict=True)], row)

    loop(count, [(panel, p.word(p.bytes))], each)


@_emitted(3)
def _finish(p: _Panel, panel: Word, count: Word, state: Word) -> None:
    """Sums of weighted values become means; lanes without a key, whose fourth state is 0, get 0.

    The largest score becomes the logarithm of the sum of the exponentials of scores, infinite where there is no key.
    """
    largest, total, some = p.load(state), p.load(state + p.bytes), p.load(state + 3 * p.bytes)
    any_key = [flag != 0.0 for flag in some]
    logarithms = [most + log(each) for most, each in zip(largest, total, strict=True)]
    p.store([where(may, each, INFINITY) for may, each in zip(any_key, logarithms, strict=True)], state)
    shares = [1.0 / each for each in total]

    def each(row: Word) -> None:
        means = [item * share for item, share in zip(p.load(row), shares, strict=True)]
        p.store([where(may, mean, 0.0) for may, mean in zip(any_key, means, strict=True)], row)

    loop(count, [(panel, p.word(p.bytes))], each)


def _slope(score: Scalar, slope: Scalar, log_sum: Scalar, delta: Scalar, scale: Scalar) -> tuple[Scalar, Scalar]:
    weight = exp(score - log_sum)
    return weight, weight * (slope - delta) * scale


def _each_slope(p: _Panel, block: Word, slopes: Word, rows: Word, scale: Scalar, statistics: Any, *more: Any) -> None:
    scales = [scale.like(spread(p.builder, p.v.type, scale.value))] * PAIR

    def each(row: Word, slope_row: Word, *places: Word) -> None:
        columns = zip(p.load(row), p.load(slope_row), *statistics(*places), scales, strict=True)
        weights, results = zip(*(_slope(*column) for column in columns), strict=True)
        p.store(weights, row)
        p.store(results, slope_row)

    loop(rows, [(block, p.word(p.bytes)), (slopes, p.word(p.bytes)), *more], each)


@_emitted(5, "scale")
def _slopes(p: _Panel, block: Word, slopes: Word, rows: Word, log_sums: Word, deltas: Word, scale: Scalar) -> None:
    """Scores become weights, and cotangents of weights those of scores; there are statistics for each lane."""
    given = p.load(log_sums), p.load(deltas)
    _each_slope(p, block, slopes, rows, scale, lambda: given)


@_emitted(7, "scale")
def _row_slopes(p: _Panel, block: Word, slopes: Word, rows: Word, *more: Any) -> None:
    """The same where there are statistics for each row: ``log_sums, step, deltas, step``."""
    log_sums, log_step, deltas, delta_step, scale = more
    places = [(log_sums, log_step), (deltas, delta_step)]
    _each_slope(p, block, slopes, rows, scale, lambda *at: [p.repeat(each) for each in at], *places)


_MAKERS: dict[str, Callable[[str, int], Any]] = {
    "unpack": _unpack,
    "dense": _dense,
    "forbid": _forbid,
    "forbid_bool": _forbid_bool,
    "forbid_float": _forbid_float,
    "exponentials": _exponentials,
    "stretch": _stretch,
    "finish": _finish,
    "slopes": _slopes,
    "row_slopes": _row_slopes,
}

_TILE = re.compile(rf"\b({'|'.join(_MAKERS)})_(f32|f64)_(\d+)\b")
