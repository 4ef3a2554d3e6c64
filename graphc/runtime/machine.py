"""A plan made ready to run: tables of words that point at memory, for the plan and for those that its steps call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc.ir.dims import bind
from graphc.ir.op import Array
from graphc.ir.types import TensorType
from graphc.record import record
from graphc.runtime.bundles import bundled
from graphc.runtime.control import CALL_WORDS, LINK_WORDS, NESTED_FAULT
from graphc.runtime.jit.loader import load
from graphc.runtime.kernels.product import product_routine
from graphc.runtime.native.binding import ArgumentSpec, argument_binder
from graphc.runtime.native.loop import STATUS_WORDS, STEP_WORDS, program_runner, run_address, runtime_address
from graphc.runtime.plan import Plan, PlannedBuffer, PlannedStep
from graphc.runtime.program import Executable, Linkage
from graphc.runtime.results import ResultMemory
from graphc.runtime.views import Place

__all__ = ["Fault", "Machine", "Tables", "call_table"]


@record
class Fault:
    """What a run found in the data.

    Attributes:
        place: the step that found it: see :meth:`graphc.runtime.program.Program.node_at`.
        value: the bad index.
        position: where it stands.
        times: the steps of the loops that it stands in, by their places along time, the outermost first.
    """

    place: tuple[int, ...]
    value: int
    position: int
    times: tuple[int, ...] = ()


def call_table(rows: Array, status: Array, links: Sequence[tuple[int, int, int, int]]) -> Array:
    """The words by which native code runs a program, see :mod:`graphc.runtime.control`.

    Args:
        rows: the steps of the program.
        status: its status words.
        links: for each word to set: its address, that of the word it is set from, bytes to add at first, and after
            every run.
    """
    ordered = sorted(links, key=lambda link: link[3] == 0)
    moving = sum(link[3] != 0 for link in ordered)
    head = [run_address(), rows.ctypes.data, len(rows), status.ctypes.data, runtime_address(), len(ordered), moving]
    table = np.array([*head, *(word for link in ordered for word in link)], np.int64)
    assert len(table) == CALL_WORDS + LINK_WORDS * len(ordered)
    return table


class Tables:
    """The words of a plan's steps, and the table of its steps."""

    def __init__(
        self, plan: Plan, program: Executable, kernels: Mapping[str, int], arena: int, is_called: bool = True
    ) -> None:
        self.plan, self.program = plan, program
        self.status = np.zeros(STATUS_WORDS, np.int64)
        self.linked: dict[tuple[Place, int], list[int]] = {}
        """For each input, output or state, the words that point at it."""
        self._itemsizes: dict[tuple[Place, int], int] = {}
        self.calls: dict[int, list[Tables]] = {}
        """For each step that calls programs, their tables."""
        self._caller: Array | None = None
        """The words by which a step calls this program."""
        self._kept: list[Array] = []
        words: list[int] = []
        rows: list[tuple[int, int, int, int]] = []
        bases = [self._address(item, arena) for item in plan.buffers]
        starts = []
        for number, (step, bound) in enumerate(zip(plan.steps, program.steps, strict=True)):
            first = len(words)
            starts.append(first)
            buffers = step.buffers[: len(step.buffers) - len(step.calls)]
            for buffer in buffers:
                item = plan.buffers[buffer]
                if item.place in ("input", "output", "carry"):
                    what = item.place, item.buffer.position
                    self.linked.setdefault(what, []).append(len(words))
                    self._itemsizes[what] = item.buffer.dtype.itemsize
                words.append(bases[buffer])
            if step.calls:
                arenas = [bases[buffer] for buffer in step.buffers[len(buffers) :]]
                self.calls[number] = [
                    Tables(called, inner, kernels, place)
                    for called, inner, place in zip(step.calls, bound.programs, arenas, strict=True)
                ]
            rows.append((kernels[step.kernel.source], len(words) if step.calls else first, step.extent, step.chunk))
            words += self._tail(step)
        self.words = np.array(words or [0], np.int64)
        self.rows = np.array(rows, np.int64).reshape(-1, STEP_WORDS)
        self.rows[:, 1] = self.words.ctypes.data + self.rows[:, 1] * 8
        for number, inner in self.calls.items():
            self._link(number, starts[number], int(self.rows[number, 1]), inner)
        self.bundled = bundled(self.rows, plan, program, is_called)

    def _tail(self, step: PlannedStep) -> list[int]:
        """The words after those of the buffers."""
        if step.calls:  # filled in once the words of the buffers have their place
            return [0] * (2 + len(step.calls) + len(step.sizes))
        status = [self.status.ctypes.data] if step.kernel.faults else []
        return [*step.sizes, *status, *(_routine(name) for name in step.kernel.routines)]

    def _link(self, number: int, start: int, tail: int, called: list[Tables]) -> None:
        """Let the words of called programs be set from those of the calling step."""
        base = self.words.ctypes.data + 8 * start
        linkages = self.program.steps[number].linkages
        calls = [self._call_table(linkage, tables, base) for linkage, tables in zip(linkages, called, strict=True)]
        place = (tail - self.words.ctypes.data) // 8
        words = [base, self.status.ctypes.data, *calls, *self.plan.steps[number].sizes]
        self.words[place : place + len(words)] = words

    def _call_table(self, linkage: Linkage, tables: Tables, base: int) -> int:
        sizes = self.plan.sizes
        runs = bind(linkage.runs, sizes)
        links: list[tuple[int, int, int, int]] = []
        for link in linkage.links:
            what = link.place, link.position
            source = base + 8 * link.word
            for word in tables.linked.get(what, ()):
                stride = bind(link.items, sizes) * tables._itemsizes[what]
                offset = bind(link.start, sizes) * tables._itemsizes[what]
                offset += (runs - 1) * stride if linkage.reverse else 0
                target = tables.words.ctypes.data + 8 * word
                links.append((target, source, offset, -stride if linkage.reverse else stride))
        tables._caller = table = call_table(tables.bundled.rows, tables.status, links)
        address: int = table.ctypes.data
        return address

    def _address(self, item: PlannedBuffer, arena: int) -> int:
        """Where a buffer is; 0 for arguments and results, whose addresses change."""
        if item.place == "arena":
            return arena + item.offset
        if item.place in ("input", "output", "carry"):
            return 0
        assert item.buffer.source is not None
        attrs = item.buffer.source.node.attrs
        match item.place:
            case "variable":
                array: Array = attrs.storage.array
            case "constant":
                array = attrs.array
            case _:
                array = np.array(bind(attrs.size, self.plan.sizes), np.int64)
                self._kept.append(array)
        return array.ctypes.data

    def use(self, rows: Array) -> None:
        """Let the step that calls this program run other steps."""
        self.rows = rows
        assert self._caller is not None
        self._caller[1:3] = rows.ctypes.data, len(rows)  # the words after the address of the loop, see _call_table

    def forget_fault(self) -> None:
        """Make it ready for another run after one that found a fault."""
        self.status[:] = 0
        for called in self.calls.values():
            for tables in called:
                tables.forget_fault()

    def take_fault(self, row: int, place: tuple[int, ...] = (), times: tuple[int, ...] = ()) -> Fault:
        """The fault that the last run found in a row of :attr:`bundled`; ready for another run after it."""
        code, value, position = map(int, self.status)
        self.status[:] = 0
        step = self.bundled.firsts[row]
        if code < NESTED_FAULT:
            return Fault((*place, step), value, position, times)
        number = code - NESTED_FAULT
        linkage = self.program.steps[step].linkages[number]
        if linkage.repeats:
            last = bind(linkage.runs, self.plan.sizes) - 1
            times = (*times, last - position if linkage.reverse else position)
        return self.calls[step][number].take_fault(value, (*place, step, number), times)


class Machine(Tables):
    """The tables of a whole program, which binds its arguments and runs.

    Attributes:
        bind: takes arguments and results, see :func:`graphc.runtime.native.binding.argument_binder`.
        run: runs the program, see :func:`graphc.runtime.native.loop.program_runner`.
    """

    def __init__(
        self, plan: Plan, program: Executable, kernels: Mapping[str, int], arena: Array, memory: ResultMemory
    ) -> None:
        super().__init__(plan, program, kernels, arena.ctypes.data, is_called=False)
        types: dict[Place, Sequence[TensorType]] = {"input": program.inputs, "output": program.outputs}
        shapes = {
            (place, i): tuple(bind(size, plan.sizes) for size in type.shape)
            for place, given in types.items()
            for i, type in enumerate(given)
        }
        self._makers = [memory.maker(shapes["output", i], type.dtype.numpy) for i, type in enumerate(program.outputs)]
        specs = [
            ArgumentSpec(type.dtype.numpy, shapes[place, i], self.linked.get((place, i), []))
            for place, given in types.items()
            for i, type in enumerate(given)
        ]
        self.bind = argument_binder(specs, self.words)
        self.run = program_runner(self.bundled.rows, self.status)

    def results(self) -> list[Array]:
        """Arrays for the results, that nobody else sees."""
        return [make() for make in self._makers]


def _routine(name: str) -> int:
    """The address of a routine that kernels call."""
    return load([product_routine(name.removeprefix("product_"))])[0]
