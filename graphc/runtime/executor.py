"""Running a program: binds arguments, keeps a plan for each set of sizes, and runs the native loop."""

from __future__ import annotations

import difflib
import functools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphc.errors import FeedError, IndexFault
from graphc.ir.binding import bind_sizes, check_constraints, check_items, label, needing_items
from graphc.ir.dims import bind
from graphc.ir.graph import Value
from graphc.ir.op import Array
from graphc.ir.types import DType
from graphc.runtime.binding import ArgumentSpec, argument_binder
from graphc.runtime.blas import blas
from graphc.runtime.kernels.product import product_routine
from graphc.runtime.loader import KernelRequest, load
from graphc.runtime.native import RUNTIME_REQUESTS, program_runner
from graphc.runtime.plan import Plan, PlannedBuffer, make_plan
from graphc.runtime.program import Program

__all__ = ["Executor", "Machine"]

_PLANS = 32
"""How many sets of sizes keep their plan."""


class Machine:
    """A plan made ready to run: tables of words that point at memory."""

    def __init__(self, plan: Plan, program: Program, addresses: Sequence[int], arena: Array) -> None:
        self.plan = plan
        self._status = np.zeros(3, np.int64)
        self._cells: list[Array] = []
        words: list[int] = []
        table: list[tuple[int, int, int, int]] = []
        inputs: dict[int, list[int]] = {}
        outputs: dict[int, list[int]] = {}
        base = [self._address(item, arena, plan) for item in plan.buffers]
        for step, address in zip(plan.steps, addresses, strict=True):
            table.append((address, len(words), step.extent, step.chunk))
            for number in step.buffers:
                item = plan.buffers[number]
                if item.place in ("input", "output"):
                    places = inputs if item.place == "input" else outputs
                    places.setdefault(item.buffer.position, []).append(len(words))
                words.append(base[number])
            words += step.sizes
            if step.kernel.faults:
                words.append(self._status.ctypes.data)
            words += [_routine(name) for name in step.kernel.routines]
        self.words = np.array(words or [0], np.int64)
        self.table = np.array(table, np.int64).reshape(-1, 4)
        self.table[:, 1] = self.words.ctypes.data + self.table[:, 1] * 8
        graph = program.graph
        self._makers = [
            functools.partial(np.empty, tuple(bind(size, plan.sizes) for size in value.shape), value.dtype.numpy)
            for value in graph.outputs
        ]
        specs = [
            ArgumentSpec(value.dtype.numpy, tuple(bind(size, plan.sizes) for size in value.shape), places.get(i, []))
            for values, places in ((graph.inputs, inputs), (graph.outputs, outputs))
            for i, value in enumerate(values)
        ]
        self.bind = argument_binder(specs, self.words)
        self.run = program_runner(self.table, self._status, uses_blas=plan.uses_blas)

    def _address(self, item: PlannedBuffer, arena: Array, plan: Plan) -> int:
        """Where a buffer is; 0 for arguments and results, whose addresses change with every call."""
        if item.place == "arena":
            return arena.ctypes.data + item.offset
        if item.place in ("input", "output"):
            return 0
        assert item.buffer.source is not None
        attrs = item.buffer.source.node.attrs
        match item.place:
            case "variable":
                array: Array = attrs.storage.array
            case "constant":
                array = attrs.array
            case _:
                array = np.array(bind(attrs.size, plan.sizes), np.int64)
                self._cells.append(array)
        return array.ctypes.data

    def results(self) -> list[Array]:
        """New arrays for the results."""
        return [make() for make in self._makers]

    def take_fault(self) -> tuple[int, int]:
        """The value and the position of the fault that the last run found; ready for another run after it."""
        value, position = int(self._status[1]), int(self._status[2])
        self._status[:] = 0
        return value, position


def _routine(name: str) -> int:
    """The address of a routine that kernels call."""
    if name.startswith("product_"):
        return load([product_routine(name.removeprefix("product_"))])[0]
    address: int = getattr(blas(), name)
    return address


class Executor:
    """Runs one program. Calls from several threads take turns."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._placeholders = program.graph.inputs
        self._needing_items = needing_items(program.graph)
        self._lock = threading.Lock()
        self._machines: OrderedDict[tuple[tuple[str, int], ...], Machine] = OrderedDict()
        self._current: Machine | None = None
        self._addresses: list[int] | None = None
        self._arena = np.empty(0, np.uint8)

    def __call__(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Array]:
        """The results for arrays as arguments, in the order of the placeholders, or by their names.

        Raises:
            FeedError: the arguments do not match the placeholders.
            ShapeError: an axis without items is reduced by an operation that needs some, such as a maximum.
            IndexFault: the data hold an index outside its axis; no variable has changed.
        """
        with self._lock:
            machine = self._current
            if machine is not None and not named:
                results = machine.results()
                if not machine.bind((*args, *results)):
                    fault = machine.run()
                    if fault >= 0:
                        self._fault(machine, fault)
                    return results
            return self._slow(args, named)

    def _slow(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Array]:
        """A call whose arguments are to be converted, or for sizes other than the last ones."""
        machine, arrays = self.prepare(args, named)
        self._current = machine
        results = machine.results()
        bound = machine.bind((*arrays, *results))
        if bound:
            raise AssertionError(f"argument {bound - 1} was converted and still does not fit")
        fault = machine.run()
        if fault >= 0:
            self._fault(machine, fault)
        return results

    def prepare(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Machine, list[Array]]:
        """The machine for the sizes of the arguments, and the arguments as arrays that it can bind."""
        arrays = [
            _converted(value, given, position)
            for position, (value, given) in enumerate(zip(self._placeholders, self._matched(args, named), strict=True))
        ]
        sizes = bind_sizes(zip(self._placeholders, (array.shape for array in arrays), strict=True))
        return self.machine(sizes), arrays

    def machine(self, sizes: Mapping[str, int]) -> Machine:
        """The machine for given sizes: made once, and again when the arena had to grow."""
        key = tuple(sorted(sizes.items()))
        machine = self._machines.get(key)
        if machine is None:
            check_constraints(self.program.constraints, sizes)
            check_items(self._needing_items, sizes)
            machine = self._build(make_plan(self.program, sizes))
            self._machines[key] = machine
            if len(self._machines) > _PLANS:
                self._machines.popitem(last=False)
        self._machines.move_to_end(key)
        return machine

    @property
    def last_plan(self) -> Plan | None:
        """The plan of the last call."""
        return self._current.plan if self._current is not None else None

    def plan(self, sizes: Mapping[str, int]) -> Plan:
        """The plan for given sizes."""
        known = self._machines.get(tuple(sorted(sizes.items())))
        return known.plan if known is not None else make_plan(self.program, sizes)

    @contextmanager
    def bound(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> Iterator[tuple[Machine, list[Array]]]:
        """The machine with the arguments bound, for those who run its steps one by one, and its results."""
        with self._lock:
            machine, arrays = self.prepare(args, named)
            results = machine.results()
            machine.bind((*arrays, *results))
            yield machine, results

    def _build(self, plan: Plan) -> Machine:
        if plan.arena_bytes > self._arena.nbytes:
            self._machines.clear()
            self._current = None
            memory = np.empty(plan.arena_bytes + 63, np.uint8)
            start = -memory.ctypes.data % 64
            self._arena = memory[start : start + plan.arena_bytes]
        if self._addresses is None:
            self._addresses = self._load()
        return Machine(plan, self.program, self._addresses, self._arena)

    def _load(self) -> list[int]:
        """The addresses of the steps' kernels, loaded together with all that they will need."""
        kernels = [bound.kernel for bound in self.program.steps]
        requests = [KernelRequest(kernel.source, "kernel") for kernel in kernels]
        names = sorted({name for kernel in kernels for name in kernel.routines if name.startswith("product_")})
        others = [product_routine(name.removeprefix("product_")) for name in names]
        # The longest first: two processes that compile from both ends should not meet at it.
        return load([*others, *requests, *RUNTIME_REQUESTS])[len(others) : len(others) + len(requests)]

    def _matched(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
        """Arguments in the order of the placeholders."""
        names = [value.name for value in self._placeholders]
        for wrong in named:
            if wrong not in names:
                close = difflib.get_close_matches(wrong, [name for name in names if name], 1, 0.0)
                raise FeedError(
                    f"there is no placeholder {wrong!r}",
                    expected="one of " + ", ".join(map(repr, names)),
                    remedy=f"did you mean {close[0]!r}?" if close else "pass arguments by position",
                )
        if len(args) > len(names):
            raise FeedError(
                f"{len(args)} arguments for {len(names)} placeholders",
                expected="(" + ", ".join(label(value, i) for i, value in enumerate(self._placeholders)) + ")",
            )
        given: list[Any] = []
        for position, (value, name) in enumerate(zip(self._placeholders, names, strict=True)):
            if position < len(args):
                if name is not None and name in named:
                    raise FeedError(f"{name!r} is given twice: by position and by name", location=value.node.location)
                given.append(args[position])
            elif name is not None and name in named:
                given.append(named[name])
            else:
                raise FeedError(
                    f"nothing was given for {label(value, position)}",
                    expected=f"an array of type {value.type}",
                    location=value.node.location,
                )
        return given

    def _fault(self, machine: Machine, step: int) -> None:
        value, position = machine.take_fault()
        node = self.program.steps[step].step.node
        raise IndexFault(
            f"{node.op.name}: the index {value} at flat position {position} of its indices is out of range",
            expected=f"an index into the axis of {_indexed(node.inputs[0], node)}",
            remedy="look at the data that were fed; variables are as they were before the call",
            location=node.location,
        )


def _indexed(value: Value, node: Any) -> str:
    axis = getattr(node.attrs, "axis", -1)
    return f"size {value.shape[axis]} of a value of type {value.type}"


def _converted(value: Value, given: Any, position: int) -> Array:
    """An argument as an array that can be bound: itself where it is one, else a copy.

    Raises:
        FeedError: it is no array, or its numbers would change their kind or be cut off.
    """
    if isinstance(given, Value):
        raise FeedError(
            f"{label(value, position)} was given the symbolic value {given!r}",
            expected="numbers: a NumPy array, or what NumPy makes one of",
            location=value.node.location,
        )
    array = np.asarray(given)
    wanted = value.dtype
    if array.dtype != wanted.numpy:
        array = _cast(array, wanted, value, position, literal=not hasattr(given, "dtype"))
    return np.require(array, requirements=("C_CONTIGUOUS", "ALIGNED")) if array.ndim else np.array(array)


def _cast(array: Array, wanted: DType, value: Value, position: int, literal: bool) -> Array:
    empty = literal and not array.size
    if not empty and (array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, wanted.numpy, "same_kind")):
        raise FeedError(
            f"the array for {label(value, position)} has dtype {array.dtype}",
            expected=f"{wanted}, or a dtype that converts to it without changing its kind",
            remedy=f"convert it with .astype('{wanted}')",
            location=value.node.location,
        )
    result = array.astype(wanted.numpy)
    if wanted.is_integer and not np.array_equal(result, array):
        raise FeedError(
            f"the array for {label(value, position)} has numbers that {wanted} cannot hold",
            expected=f"numbers from {np.iinfo(wanted.numpy).min} to {np.iinfo(wanted.numpy).max}",
            remedy="give the placeholder a wider dtype",
            location=value.node.location,
        )
    return result
