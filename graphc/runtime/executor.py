"""Running a program: binds arguments, keeps a plan for each set of sizes, and runs the native loop."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphc.errors import FeedError, IndexFault, ShapeError, VerifyError
from graphc.ir.binding import bind_sizes, check_constraints, check_items, label
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array
from graphc.ir.types import TensorType
from graphc.runtime.arguments import converted
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.kernels.base import Kernel
from graphc.runtime.kernels.product import product_routine
from graphc.runtime.machine import Fault, Machine
from graphc.runtime.native.loop import RUNTIME_REQUESTS
from graphc.runtime.plan import Plan, make_plan
from graphc.runtime.program import Executable, Program
from graphc.runtime.program_cache import PlanCache
from graphc.runtime.results import ResultMemory

__all__ = ["Executor"]

_PLANS = 32
"""How many sets of sizes keep their plan."""


class Executor:
    """Runs one program. Calls from several threads take turns.

    Attributes:
        placeholders: its arguments.
        checks: whether it looks at the results of every call.
    """

    checks = False

    def __init__(
        self,
        executable: Executable,
        placeholders: Sequence[Value],
        assemble: Callable[[], Program] | None = None,
        plans: PlanCache | None = None,
    ) -> None:
        """An executor.

        Args:
            executable: what runs.
            placeholders: its arguments.
            assemble: for an executable that is no program, makes the program that it was, when it is first needed.
            plans: keeps where the memory of the executable lies.
        """
        self._executable = executable
        self.placeholders = tuple(placeholders)
        self._assemble = assemble
        self._plans = plans
        self._lock = threading.Lock()
        self._machines: OrderedDict[tuple[tuple[str, int], ...], Machine] = OrderedDict()
        self._current: Machine | None = None
        self._addresses: dict[str, int] | None = None
        self._arena = np.empty(0, np.uint8)
        self._results = ResultMemory()

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
            converted(value, given, position)
            for position, (value, given) in enumerate(zip(self.placeholders, self.matched(args, named), strict=True))
        ]
        sizes = bind_sizes(zip(self.placeholders, (array.shape for array in arrays), strict=True))
        return self.machine(sizes), arrays

    def machine(self, sizes: Mapping[str, int]) -> Machine:
        """The machine for given sizes: made once, and again when the arena had to grow."""
        key = tuple(sorted(sizes.items()))
        machine = self._machines.get(key)
        if machine is None:
            self._check(sizes)
            machine = self._build(self._plan(sizes))
            self._machines[key] = machine
            if len(self._machines) > _PLANS:
                self._machines.popitem(last=False)
        self._machines.move_to_end(key)
        return machine

    def _check(self, sizes: Mapping[str, int]) -> None:
        """Check that the program can run for given sizes."""
        check_constraints(self._executable.constraints, sizes)
        try:
            check_items(self._executable.needing_items, sizes)
        except ShapeError:
            check_items(self._explained().needing_items, sizes)  # these know the user's line
            raise

    def _plan(self, sizes: Mapping[str, int]) -> Plan:
        known = self._plans.load(sizes) if self._plans is not None else None
        if known is not None:
            try:
                return make_plan(self._executable, sizes, iter(known))
            except VerifyError:
                pass  # not of this program
        plan = make_plan(self._executable, sizes)
        if self._plans is not None:
            self._plans.store(plan)
        return plan

    @property
    def program(self) -> Program:
        """The program, see :meth:`explain`."""
        return self.explain()

    def explain(self) -> Program:
        """The program, which knows where its steps come from; from now on it is what runs, and what plans are of."""
        with self._lock:
            return self._explained()

    def kernels(self) -> Iterator[Kernel]:
        """The kernels of the steps, each followed by those of the programs that its step calls."""
        return self._executable.kernels()

    def _explained(self) -> Program:
        if isinstance(self._executable, Program):
            return self._executable
        assert self._assemble is not None
        program = self._executable = self._assemble()
        current = self._current.plan.sizes if self._current is not None else None
        self._machines.clear()
        self._current = None
        self._addresses = None
        if current is not None:
            self._current = self.machine(current)
        return program

    @property
    def last_plan(self) -> Plan | None:
        """The plan of the last call."""
        return self._current.plan if self._current is not None else None

    def plan(self, sizes: Mapping[str, int]) -> Plan:
        """The plan for given sizes."""
        program = self.program
        known = self._machines.get(tuple(sorted(sizes.items())))
        return known.plan if known is not None else make_plan(program, sizes)

    @property
    def outputs(self) -> Sequence[TensorType]:
        """The types of the results."""
        return self._executable.outputs

    @contextmanager
    def turn(self, sizes: Mapping[str, int]) -> Iterator[Machine]:
        """The machine for given sizes, for who runs it in a way of his own; the calls of other threads wait.

        Raises:
            FeedError: sizes that the graph assumed to be equal are not.
            ShapeError: an axis without items is reduced by an operation that needs some, such as a maximum.
        """
        with self._lock:
            self._current = self.machine(sizes)
            yield self._current

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
        return Machine(plan, self._executable, self._addresses, self._arena, self._results)

    def _load(self) -> dict[str, int]:
        """The addresses of the kernels by their sources, loaded together with all that they will need."""
        kernels = {kernel.source: kernel for kernel in self._executable.kernels()}
        requests = [KernelRequest(source, "kernel") for source in kernels]
        routines = {name for kernel in kernels.values() for name in kernel.routines if name.startswith("product_")}
        others = [product_routine(name.removeprefix("product_")) for name in sorted(routines)]
        # The longest first: two processes that compile from both ends should not meet at it.
        loaded = load([*others, *requests, *RUNTIME_REQUESTS])
        return dict(zip(kernels, loaded[len(others) :], strict=False))

    def matched(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Any]:
        """Arguments in the order of the placeholders.

        Raises:
            FeedError: one is missing, given twice, or has no placeholder.
        """
        names = [value.name for value in self.placeholders]
        expected = "(" + ", ".join(label(value, i) for i, value in enumerate(self.placeholders)) + ")"
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
        for position, (value, name) in enumerate(zip(self.placeholders, names, strict=True)):
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
        import difflib  # for this message alone

        names = [value.name for value in self.placeholders if value.name]
        close = difflib.get_close_matches(wrong, names, 1)
        if close:
            return f"did you mean {close[0]!r}?"
        if wrong in {value.name for value in self._explained().graph.variables}:
            return f"{wrong!r} is a variable: set its .value before the call"
        return "give arguments by these names, or by position"

    def _fault(self, machine: Machine, step: int) -> None:
        raise self.index_fault(machine.take_fault(step))[0]

    def index_fault(self, fault: Fault) -> tuple[IndexFault, int | None]:
        """The error for what a run found, and the position of the argument that the index stands in, if it is in one.

        For those who hold the lock.
        """
        program = self._explained()
        node = program.node_at(fault.place)
        where = "".join(f" in step {time} of a loop" for time in reversed(fault.times))
        error = IndexFault(
            f"{node.op.name}: the index {fault.value} at flat position {fault.position} of its indices is out of range"
            + where,
            expected=f"an index into the axis of {_indexed(node.inputs[0], node)}",
            remedy="look at the data that were fed; variables are as they were before the call",
            location=node.location,
        )
        return error, next((i for i, value in enumerate(program.graph.inputs) if value is node.inputs[1]), None)


def _indexed(value: Value, node: Node) -> str:
    axis = getattr(node.attrs, "axis", -1)
    return f"size {value.shape[axis]} of a value of type {value.type}"


def _remedy_for_missing(args: tuple[Any, ...], count: int) -> str:
    match args:
        case [list() | tuple() as inner] if len(inner) == count:
            return "unpack the arguments: function(*arguments)"
        case [dict()]:
            return "unpack the arguments: function(**arguments)"
    return "give arrays in the order of the placeholders, or by their names"
