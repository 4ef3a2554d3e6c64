"""What tiles are written with: integers, words of the kernel's table, vectors and loops of LLVM, as Python objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llvmlite import ir

from graphc.runtime.instructions.emit import WORD, cgutils, mark_loop

__all__ = ["ITEMS", "Table", "Vectors", "Word", "clamped", "loop", "spread", "transposed"]

ITEMS: dict[str, ir.Type] = {"f32": ir.FloatType(), "f64": ir.DoubleType()}

_LANE = ir.IntType(32)

UNROLLED = 4
"""How many steps of a tile's innermost loop are written for each of its turns."""

_Load: TypeAlias = Callable[[], Any]


def _vector_at(builder: Any, vector: ir.Type, address: Any) -> Any:
    """An address as a pointer to a vector."""
    return builder.inttoptr(address, vector.as_pointer())


def spread(builder: Any, vector: Any, item: Any) -> Any:
    """An item in every lane of a vector."""
    empty = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(empty, item, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


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


class Word:
    """An integer of the running kernel, with Python's operators; divisors are positive."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = ir.Constant(WORD, value) if isinstance(value, int) else value

    def _of(self, other: Word | int) -> Any:
        return other.value if isinstance(other, Word) else ir.Constant(WORD, other)

    def __add__(self, other: Word | int) -> Word:
        return Word(self.builder, self.builder.add(self.value, self._of(other)))

    def __sub__(self, other: Word | int) -> Word:
        return Word(self.builder, self.builder.sub(self.value, self._of(other)))

    def __mul__(self, other: Word | int) -> Word:
        return Word(self.builder, self.builder.mul(self.value, self._of(other)))

    def __floordiv__(self, other: Word | int) -> Word:
        if isinstance(other, int) and other & (other - 1) == 0:
            return Word(self.builder, self.builder.ashr(self.value, self._of(other.bit_length() - 1)))
        # Exact for numbers of less than 52 bits, and without the branches that LLVM makes of a division of integers.
        double = ir.DoubleType()
        parts = (self.builder.sitofp(value, double) for value in (self.value, self._of(other)))
        quotient = self.builder.fdiv(*parts)
        floor = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(double, [double]), "llvm.floor.f64")
        return Word(self.builder, self.builder.fptosi(self.builder.call(floor, [quotient]), WORD))

    def __mod__(self, other: Word | int) -> Word:
        return self - self // other * other

    def __and__(self, other: int) -> Word:
        return Word(self.builder, self.builder.and_(self.value, self._of(other)))

    def __neg__(self) -> Word:
        return Word(self.builder, self.builder.neg(self.value))

    def __lt__(self, other: Word | int) -> Any:
        return self.builder.icmp_signed("<", self.value, self._of(other))

    def within(self, size: Word) -> Any:
        """Whether it is an index into an axis of this size."""
        return self.builder.icmp_unsigned("<", self.value, size.value)

    def is_zero(self) -> Any:
        """A condition."""
        return self.builder.icmp_signed("==", self.value, ir.Constant(WORD, 0))

    def at_most(self, other: Word | int) -> Word:
        """The smaller of two."""
        return self.select(self < other, self, other)

    def at_least(self, other: Word | int) -> Word:
        """The larger of two."""
        return self.select(self < other, other, self)

    def opaque(self) -> Word:
        """The same number, of which LLVM does not know where it came from."""
        function = ir.FunctionType(WORD, [WORD])
        return Word(self.builder, self.builder.asm(function, "", "=r,0", [self.value], False))

    def select(self, condition: Any, yes: Word | int, no: Word | int) -> Word:
        """One of two, as a condition has it."""
        return Word(self.builder, self.builder.select(condition, self._of(yes), self._of(no)))


class Table:
    """The kernel's words by name."""

    def __init__(self, builder: Any, table: Any, names: Sequence[str]) -> None:
        self._builder, self._table = builder, table
        self._index = {name: index for index, name in enumerate(names)}

    def __getitem__(self, name: str) -> Word:
        place = self._builder.gep(self._table, [ir.Constant(WORD, self._index[name])], inbounds=True)
        value = self._builder.load(place)
        value.set_metadata("invariant.load", self._builder.module.add_metadata([]))
        return Word(self._builder, value)


class Vectors:
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
        """The size of a vector."""
        return self.lanes * self.size

    def _function(self, name: str, result: Any, *parameters: Any) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, parameters), name)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """``x * y + z``."""
        name = f"llvm.fma.v{self.lanes}{self.kind}"
        return self.builder.call(self._function(name, self.type, *[self.type] * 3), [x, y, z])

    def add_products(self, sums: Sequence[Sequence[Any]], lefts: Sequence[_Load], rights: Sequence[_Load]) -> None:
        """Add to each of the sums, which are variables, the product of its row's left and its column's right factor.

        The fewer ones stay in registers; of the others one is loaded after the other.
        """
        if len(lefts) < len(rights):
            sums, lefts, rights = list(zip(*sums, strict=True)), rights, lefts
        kept = [load() for load in rights]
        for row, load in zip(sums, lefts, strict=True):
            factor = load()
            for slot, other in zip(row, kept, strict=True):
                self.builder.store(self.fma(factor, other, self.builder.load(slot)), slot)

    def repeat(self, address: Word) -> Any:
        """The item at an address in every lane."""
        return spread(self.builder, self.type, self.load_item(address))

    def load_item(self, address: Word) -> Any:
        """The item at an address."""
        return self.builder.load(self._item_at(address))

    def store_item(self, item: Any, address: Word) -> None:
        """Write an item."""
        self.builder.store(item, self._item_at(address))

    def _item_at(self, address: Word) -> Any:
        return self.builder.inttoptr(address.value, ITEMS[self.kind].as_pointer())

    def first(self, count: Word) -> Any:
        """The mask of the first lanes."""
        number = self.builder.trunc(count.value, _LANE)
        lanes = ir.Constant(ir.VectorType(_LANE, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", lanes, spread(self.builder, lanes.type, number))

    def load(self, address: Word, mask: Any = None, aligned: bool = False) -> Any:
        """The items at an address; zeros, unread, in lanes that the mask leaves out."""
        place = _vector_at(self.builder, self.type, address.value)
        if mask is None:
            return self.builder.load(place, align=self.bytes if aligned else self.size)
        name = f"llvm.masked.load.v{self.lanes}{self.kind}.p0"
        load = self._function(name, self.type, place.type, _LANE, self._mask_type, self.type)
        return self.builder.call(load, [place, ir.Constant(_LANE, self.size), mask, self.zero])

    def store(self, value: Any, address: Word, mask: Any = None) -> None:
        """Write the lanes that the mask has; all without one."""
        place = _vector_at(self.builder, self.type, address.value)
        if mask is None:
            self.builder.store(value, place, align=self.size)
            return
        name = f"llvm.masked.store.v{self.lanes}{self.kind}.p0"
        store = self._function(name, ir.VoidType(), self.type, place.type, _LANE, self._mask_type)
        self.builder.call(store, [value, place, ir.Constant(_LANE, self.size), mask])

    def fetch(self, address: Word, vectors: int) -> None:
        """Bring some vectors into the first-level cache, to be written later; any address will do."""
        pointer = ir.IntType(8).as_pointer()
        fetch = self._function("llvm.prefetch.p0", ir.VoidType(), pointer, *[_LANE] * 3)
        hints = [ir.Constant(_LANE, number) for number in (1, 3, 1)]  # to write, to keep, data
        for place in (address, address + (vectors * self.bytes - 1)):
            self.builder.call(fetch, [self.builder.inttoptr(place.value, pointer), *hints])

    def sum(self, value: Any) -> Any:
        """The sum of the lanes, added in pairs."""
        width = self.lanes
        while width > 1:
            width //= 2
            halves = [
                ir.Constant(ir.VectorType(_LANE, width), list(range(start, start + width))) for start in (0, width)
            ]
            low, high = (self.builder.shuffle_vector(value, value, half) for half in halves)
            value = self.builder.fadd(low, high)
        return self.builder.extract_element(value, ir.Constant(_LANE, 0))

    def room(self, start: Any) -> Any:
        """A variable for a vector, which LLVM keeps in a register."""
        with self.builder.goto_entry_block():
            slot = self.builder.alloca(self.type)
        self.builder.store(start, slot)
        return slot


def loop(count: Word, steps: Sequence[tuple[Word, Word]], body: Callable[..., None], unrolled: int = 1) -> None:
    """Run ``body(*numbers)`` so many times, each number greater by its step from one time to the next.

    A turn of the loop is so many times as are ``unrolled``; those that are left over have a loop of their own.
    """
    turns = count.at_least(0) // unrolled
    numbers = _turns(turns, steps, body, unrolled)
    if unrolled > 1:
        _turns(count - turns * unrolled, list(zip(numbers, (step for _, step in steps), strict=True)), body, 1)


def _turns(turns: Word, steps: Sequence[tuple[Word, Word]], body: Callable[..., None], times: int) -> list[Word]:
    """The numbers after so many turns."""
    builder = turns.builder
    entry = builder.block
    inside, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(Word(builder, 0) < turns, inside, done)
    builder.position_at_end(inside)
    left, *numbers = (Word(builder, builder.phi(WORD)) for _ in (turns, *steps))
    starts = [turns, *(start for start, _ in steps)]
    phis = [number.value for number in (left, *numbers)]
    for time in range(times):
        # A number whose steps LLVM sees would become one for each address that is computed from it. Where the steps are
        # constants, addresses differ by constants, which are part of the instructions.
        numbers = [
            number.opaque() if time == 0 or not isinstance(step.value, ir.Constant) else number
            for number, (_, step) in zip(numbers, steps, strict=True)
        ]
        body(*numbers)
        numbers = [number + step for number, (_, step) in zip(numbers, steps, strict=True)]
    last = builder.block
    for phi, start, further in zip(phis, starts, (left - 1, *numbers), strict=True):
        phi.add_incoming(start.value, entry)
        phi.add_incoming(further.value, last)
    branch = builder.cbranch(Word(builder, 1) < left, inside, done)
    # LLVM is not to unroll it once more: it would find most of these loops too short to enter.
    mark_loop(builder.module, branch, "llvm.loop.unroll.disable")
    builder.position_at_end(done)
    after = [Word(builder, builder.phi(WORD)) for _ in steps]
    for number, (start, _), further in zip(after, steps, numbers, strict=True):
        number.value.add_incoming(start.value, entry)
        number.value.add_incoming(further.value, last)
    return after


def clamped(start: Word, stride: Word, count: int, there: Word) -> list[Word]:
    """Addresses of rows; the last one that is there stands for those that are not."""
    rows = [start]
    for row in range(1, count):
        missing = there < row + 1
        rows.append(start.select(missing, rows[-1], rows[-1] + stride))
    return rows
