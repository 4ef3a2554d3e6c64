"""Running a program: binds arguments, keeps a plan for each set of sizes, and runs the native loop."""

from __future__ import annotations

import difflib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphc.errors import FeedError, GraphError, IndexFault
from graphc.ir.binding import bind_sizes, check_constraints, check_items, label, needing_items
from graphc.ir.graph import Value
from graphc.ir.op import Array
from graphc.ir.types import DType
from graphc.runtime.kernels.product import product_routine
from graphc.runtime.loader import KernelRequest, load
from graphc.runtime.machine import Machine
from graphc.runtime.native import RUNTIME_REQUESTS
from graphc.runtime.plan import Plan, make_plan
from graphc.runtime.program import Program

__all__ = ["Executor"]

_PLANS = 32
"""How many sets of sizes keep their plan."""


class Executor:
    """Runs one program. Calls from several threads take turns."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._placeholders = program.graph.inputs
        self._needing_items = needing_items(program.graph)
        self._lock = threading.Lock()
        self._machines: OrderedDict[tuple[tuple[str, int], ...], Machine] = OrderedDict()
        self._current: Machine | None = None
        self._addresses: dict[str, int] | None = None
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
        return self.run(machine, arrays)

    def run(self, machine: Machine, arrays: Sequence[Array]) -> list[Array]:
        """The results of a machine for arrays that it can bind; for those who hold the lock.

        Raises:
            IndexFault: the data hold an index outside its axis; no variable has changed.
        """
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
    def prepared(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> Iterator[tuple[Machine, list[Array]]]:
        """The machine for some arguments, and these as it can bind them, for who runs it in a way of his own."""
        with self._lock:
            yield self.prepare(args, named)

    def twin(self, machine: Machine) -> Machine:
        """Another machine of the same plan, on the same memory, whose tables may be changed."""
        return self._build(machine.plan)

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

    def _load(self) -> dict[str, int]:
        """The addresses of the kernels by their sources, loaded together with all that they will need."""
        kernels = {bound.kernel.source: bound.kernel for bound in self.program.all_steps()}
        requests = [KernelRequest(source, "kernel") for source in kernels]
        routines = {name for kernel in kernels.values() for name in kernel.routines if name.startswith("product_")}
        others = [product_routine(name.removeprefix("product_")) for name in sorted(routines)]
        # The longest first: two processes that compile from both ends should not meet at it.
        loaded = load([*others, *requests, *RUNTIME_REQUESTS])
        return dict(zip(kernels, loaded[len(others) :], strict=False))

    def _matched(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
        """Arguments in the order of the placeholders."""
        names = [value.name for value in self._placeholders]
        expected = "(" + ", ".join(label(value, i) for i, value in enumerate(self._placeholders)) + ")"
        for wrong in named:
            if wrong not in names:
                raise FeedError(
                    f"there is no placeholder {wrong!r}", expected=expected, remedy=self._remedy_for_name(wrong)
                )
        if len(args) > len(names):
            raise FeedError(
                f"{len(args)} arguments for {len(names)} placeholders",
                expected=expected,
                remedy="leave out what the graph does not read, or add its placeholder to the inputs of gr.compile",
            )
        given: list[Any] = []
        for position, (value, name) in enumerate(zip(self._placeholders, names, strict=True)):
            if position < len(args):
                if name is not None and name in named:
                    raise FeedError(
                        f"{name!r} is given twice: by position and by name",
                        expected=expected,
                        remedy="leave out one of them",
                        location=value.node.location,
                    )
                given.append(args[position])
            elif name is not None and name in named:
                given.append(named[name])
            else:
                raise FeedError(
                    f"nothing was given for {label(value, position)}",
                    expected=f"an array of type {value.type}; all arguments are {expected}",
                    remedy=_remedy_for_missing(args, len(names)),
                    location=value.node.location,
                )
        return given

    def _remedy_for_name(self, wrong: str) -> str:
        names = [value.name for value in self._placeholders if value.name]
        close = difflib.get_close_matches(wrong, names, 1)
        if close:
            return f"did you mean {close[0]!r}?"
        if wrong in {value.name for value in self.program.graph.variables}:
            return f"{wrong!r} is a variable: set its .value before the call"
        return "give arguments by these names, or by position"

    def _fault(self, machine: Machine, step: int) -> None:
        fault = machine.take_fault(step)
        node = fault.node
        where = "".join(f" in step {time} of a loop" for time in reversed(fault.times))
        raise IndexFault(
            f"{node.op.name}: the index {fault.value} at flat position {fault.position} of its indices is out of range"
            + where,
            expected=f"an index into the axis of {_indexed(node.inputs[0], node)}",
            remedy="look at the data that were fed; variables are as they were before the call",
            location=node.location,
        )


def _indexed(value: Value, node: Any) -> str:
    axis = getattr(node.attrs, "axis", -1)
    return f"size {value.shape[axis]} of a value of type {value.type}"


def _remedy_for_missing(args: tuple[Any, ...], count: int) -> str:
    match args:
        case [list() | tuple() as inner] if len(inner) == count:
            return "unpack the arguments: function(*arguments)"
        case [dict()]:
            return "unpack the arguments: function(**arguments)"
    return "give arrays in the order of the placeholders, or by their names"


def _converted(value: Value, given: Any, position: int) -> Array:
    """An argument as an array that can be bound: itself where it is one, else a copy.

    Raises:
        FeedError: it is no array, or its numbers would change their kind or be cut off.
    """
    if isinstance(given, Value):
        storage = getattr(given.node.attrs, "storage", None)
        raise FeedError(
            f"{label(value, position)} was given the symbolic value {given!r}",
            expected=f"numbers: an array of type {value.type}, or what NumPy makes one of",
            remedy="pass what the variable holds: its .value" if storage is not None else "compile both in one graph",
            location=value.node.location,
        )
    try:
        array = np.asarray(given)
    except Exception as error:  # of whatever the argument is
        reason = error.found if isinstance(error, GraphError) else str(error)
        raise FeedError(
            f"NumPy makes no array of the {type(given).__name__} for {label(value, position)}: {reason}",
            expected=f"an array of type {value.type}, or lists of numbers of equal lengths",
            remedy="convert it to one array, with np.stack, np.pad or the like",
            location=value.node.location,
        ) from error
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
            remedy=f"convert it with .astype('{wanted}')" if array.dtype.kind in "biufc" else "pass numbers",
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
