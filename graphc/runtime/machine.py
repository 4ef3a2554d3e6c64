"""A plan made ready to run: tables of words that point at memory, for the plan and for those that its steps call."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graphc.ir.dims import bind
from graphc.ir.graph import Node
from graphc.ir.op import Array
from graphc.runtime.binding import ArgumentSpec, argument_binder
from graphc.runtime.blas import blas
from graphc.runtime.control import CALL_WORDS, LINK_WORDS, NESTED_FAULT
from graphc.runtime.kernels.product import product_routine
from graphc.runtime.loader import load
from graphc.runtime.native import STATUS_WORDS, STEP_WORDS, program_runner, run_address, runtime_address
from graphc.runtime.plan import Plan, PlannedBuffer, PlannedStep
from graphc.runtime.program import BoundStep, Call, Program
from graphc.runtime.views import Place

__all__ = ["Fault", "Machine", "Tables"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a run found in the data.

    Attributes:
        node: the operation that found it.
        value: the bad index.
        position: where it stands.
        times: the steps of the loops that it stands in, by their places along time, the outermost first.
    """

    node: Node
    value: int
    position: int
    times: tuple[int, ...] = ()


class Tables:
    """The words of a plan's steps, and the table of its steps."""

    def __init__(self, plan: Plan, program: Program, kernels: Mapping[str, int], arena: int) -> None:
        self.plan, self.program = plan, program
        self.status = np.zeros(STATUS_WORDS, np.int64)
        self.linked: dict[tuple[Place, int], list[int]] = {}
        """For each input, output or state, the words that point at it."""
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
                    self.linked.setdefault((item.place, item.buffer.position), []).append(len(words))
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
            self._link(program.steps[number], starts[number], int(self.rows[number, 1]), inner)

    def _tail(self, step: PlannedStep) -> list[int]:
        """The words after those of the buffers."""
        if step.calls:  # filled in once the words of the buffers have their place
            return [0] * (2 + len(step.calls) + len(step.sizes))
        status = [self.status.ctypes.data] if step.kernel.faults else []
        return [*step.sizes, *status, *(_routine(name) for name in step.kernel.routines)]

    def _link(self, bound: BoundStep, start: int, tail: int, called: list[Tables]) -> None:
        """Let the words of called programs be set from those of the calling step."""
        base = self.words.ctypes.data + 8 * start
        calls = [self._call_table(call, tables, base) for call, tables in zip(bound.step.calls, called, strict=True)]
        sizes = [bind(size, self.plan.sizes) for size in bound.kernel.sizes]
        place = (tail - self.words.ctypes.data) // 8
        words = [base, self.status.ctypes.data, *calls, *sizes]
        self.words[place : place + len(words)] = words

    def _call_table(self, call: Call, tables: Tables, base: int) -> int:
        sizes = self.plan.sizes
        runs = bind(call.runs, sizes)
        links: list[tuple[int, int, int, int]] = []
        for link in call.links:
            source = base + 8 * link.word
            stride = bind(link.items, sizes) * _itemsize(tables, link.place, link.position)
            offset = (runs - 1) * stride if call.reverse else 0
            for word in tables.linked.get((link.place, link.position), ()):
                target = tables.words.ctypes.data + 8 * word
                links.append((target, source, offset, -stride if call.reverse else stride))
        links.sort(key=lambda link: link[3] == 0)
        moving = sum(link[3] != 0 for link in links)
        head = [run_address(), tables.rows.ctypes.data, len(tables.rows), tables.status.ctypes.data]
        head += [runtime_address(), len(links), moving]
        table = np.array([*head, *(word for link in links for word in link)], np.int64)
        assert len(table) == CALL_WORDS + LINK_WORDS * len(links)
        tables._caller = table
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

    def take_fault(self, step: int, times: tuple[int, ...] = ()) -> Fault:
        """The fault that the last run found in a step; ready for another run after it."""
        code, value, position = map(int, self.status)
        self.status[:] = 0
        bound = self.program.steps[step].step
        if code < NESTED_FAULT:
            return Fault(bound.node, value, position, times)
        number = code - NESTED_FAULT
        call = bound.calls[number]
        if call.repeats:
            last = bind(call.runs, self.plan.sizes) - 1
            times = (*times, last - position if call.reverse else position)
        return self.calls[step][number].take_fault(value, times)


def _itemsize(tables: Tables, place: Place, position: int) -> int:
    graph = tables.program.graph
    values = {"input": graph.inputs, "output": graph.outputs, "carry": [variable for variable, _ in graph.updates]}
    return values[place][position].dtype.itemsize


class Machine(Tables):
    """The tables of a whole program, which binds its arguments and runs.

    Attributes:
        bind: takes arguments and results, see :func:`graphc.runtime.binding.argument_binder`.
        run: runs the program, see :func:`graphc.runtime.native.program_runner`.
    """

    def __init__(self, plan: Plan, program: Program, kernels: Mapping[str, int], arena: Array) -> None:
        super().__init__(plan, program, kernels, arena.ctypes.data)
        graph = program.graph
        shapes = {
            value: tuple(bind(size, plan.sizes) for size in value.shape) for value in (*graph.inputs, *graph.outputs)
        }
        self._makers = [functools.partial(np.empty, shapes[value], value.dtype.numpy) for value in graph.outputs]
        places: tuple[Place, Place] = ("input", "output")
        specs = [
            ArgumentSpec(value.dtype.numpy, shapes[value], self.linked.get((place, i), []))
            for place, values in zip(places, (graph.inputs, graph.outputs), strict=True)
            for i, value in enumerate(values)
        ]
        self.bind = argument_binder(specs, self.words)
        self.run = program_runner(self.rows, self.status, uses_blas=plan.uses_blas)

    def results(self) -> list[Array]:
        """New arrays for the results."""
        return [make() for make in self._makers]


def _routine(name: str) -> int:
    """The address of a routine that kernels call."""
    if name.startswith("product_"):
        return load([product_routine(name.removeprefix("product_"))])[0]
    address: int = getattr(blas(), name)
    return address
