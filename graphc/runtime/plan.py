"""A plan: a program for given sizes. Frozen, printable: which kernel runs when, on which memory."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field

from graphc.errors import VerifyError
from graphc.ir.dims import Size, bind
from graphc.record import record
from graphc.runtime.kernels.base import MAX_TASKS, PRODUCT_TASKS, Kernel
from graphc.runtime.memory import Life, aligned, assign_offsets, check_offsets, largest_live_sum
from graphc.runtime.program import Executable
from graphc.runtime.views import Buffer, Place

__all__ = ["Plan", "PlannedBuffer", "PlannedStep", "least_work", "make_plan"]

_PARALLEL_WORK = 1 << 16
"""Scalar operations that make a task: a few microseconds, less is not worth another thread's attention."""

_PRODUCT_WORK = 1 << 20
"""The same for matrix products, which do more operations in a moment."""


@record(eq=False)
class PlannedBuffer:
    """Memory with a place and a life.

    Attributes:
        buffer: what the program knows of it.
        place: ``"arena"``, or what it belongs to.
        bytes: its size.
        offset: where it starts in the arena; -1 elsewhere.
        first: the first step that uses it.
        last: the last step that uses it.
    """

    buffer: Buffer = field(repr=False)
    place: Place
    bytes: int
    offset: int
    first: int
    last: int


@record(eq=False)
class PlannedStep:
    """A call of a kernel.

    Attributes:
        name: of the kernel, for people.
        kernel: its source.
        buffers: positions, in the plan, of the memory that its words point to.
        sizes: the values of its sizes.
        extent: the length of its outer range.
        chunk: how much of the range one task does; all of it where one thread does it.
        work: an estimate of its scalar operations.
        calls: the plans of the programs that it runs.
    """

    name: str
    kernel: Kernel = field(repr=False)
    buffers: tuple[int, ...]
    sizes: tuple[int, ...]
    extent: int
    chunk: int
    work: int
    calls: tuple[Plan, ...] = ()


@record(eq=False)
class Plan:
    """All that the machine needs to run a program for one set of sizes.

    Attributes:
        sizes: the values of the symbolic sizes.
        steps: in the order in which they run.
        buffers: every piece of memory.
        arena_bytes: the size of the one allocation that holds all intermediate results.
        least_bytes: the largest sum of intermediate results in use at one time.
    """

    sizes: Mapping[str, int]
    steps: tuple[PlannedStep, ...]
    buffers: tuple[PlannedBuffer, ...]
    arena_bytes: int
    least_bytes: int

    def offsets(self) -> Iterator[int]:
        """Where the buffers of the arena start: those of the plans that its steps call, then its own."""
        for step in self.steps:
            for call in step.calls:
                yield from call.offsets()
        yield from (item.offset for item in self.buffers if item.place == "arena")

    def alive_bytes(self) -> list[int]:
        """For each step, the bytes of the arena that hold something while it runs."""
        arena = [item for item in self.buffers if item.place == "arena"]
        return [sum(item.bytes for item in arena if item.first <= i <= item.last) for i in range(len(self.steps))]

    def __str__(self) -> str:
        bound = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        arena = f"arena {self.arena_bytes:,} bytes (least possible {self.least_bytes:,})"
        lines = [f"plan{f' for {bound}' if bound else ''}: {len(self.steps)} steps, {arena}"]
        for number, step in enumerate(self.steps):
            memory = ", ".join(f"b{i}" for i in step.buffers)
            tasks = -(-step.extent // step.chunk) if step.chunk else 1
            split = f" in {tasks} tasks" if tasks > 1 else ""
            lines.append(f"  {number:4d}  {step.name}({memory}) over {step.extent}{split}")
            for call in step.calls:
                lines += [f"        {line}" for line in str(call).splitlines()]
        lines.append("buffers:")
        for number, item in enumerate(self.buffers):
            where = f"offset {item.offset:,}" if item.place == "arena" else item.place
            name = item.buffer.source.name if item.buffer.source is not None and item.buffer.source.name else ""
            lines.append(f"  b{number}: {item.bytes:,} bytes, {where}, steps {item.first}-{item.last} {name}".rstrip())
        return "\n".join(lines)


def least_work(kernel: Kernel) -> int:
    """How much work of a kernel is worth a task."""
    return _PRODUCT_WORK if kernel.routines else _PARALLEL_WORK


def _chunk(kernel: Kernel, extent: int, work: int) -> int:
    """How much of its range a task of a kernel does. Sizes alone decide, so that threads do not change the result.

    The number of tasks is a power of two, as are most machines' numbers of threads, if the range can be cut so that
    they are of one size; else there are some more, lest one thread has a large task more than another.
    """
    most = PRODUCT_TASKS if kernel.routines else MAX_TASKS
    tasks = min(work // least_work(kernel), most, extent // kernel.grain)
    if tasks < 2:
        return max(extent, 1)
    tasks = 1 << (tasks.bit_length() - 1)
    unit = kernel.grain if kernel.grain <= 64 else 16
    return max(-(-extent // unit) // tasks, 1) * unit


def make_plan(program: Executable, sizes: Mapping[str, int], known: Iterator[int] | None = None) -> Plan:
    """Place the memory of a program for given sizes.

    Args:
        program: the program.
        sizes: the values of its symbolic sizes.
        known: offsets that were chosen before, as :meth:`Plan.offsets` gave them. They are checked as new ones are.

    Raises:
        VerifyError: the placement is wrong; a defect of graphc, where it did not come from elsewhere.
    """
    return _make_plan(program, sizes, functools.cache(lambda size: bind(size, sizes)), known)


def _make_plan(
    program: Executable, sizes: Mapping[str, int], bound: Callable[[Size], int], known: Iterator[int] | None
) -> Plan:
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for time, step in enumerate(program.steps):
        for buffer in step.buffers:
            first.setdefault(buffer, time)
            last[buffer] = time
    numbers = {buffer: number for number, buffer in enumerate(first)}
    bytes = {buffer: bound(buffer.items) * buffer.dtype.itemsize for buffer in first}
    calls: list[tuple[Plan, ...]] = []
    for step in program.steps:
        plans = tuple(_make_plan(called, sizes, bound, known) for called in step.programs)
        for buffer, plan in zip(step.buffers[len(step.buffers) - len(plans) :], plans, strict=True):
            bytes[buffer] = plan.arena_bytes
        calls.append(plans)
    arena = [buffer for buffer in first if buffer.place == "arena"]
    lives = [Life(bytes[buffer], first[buffer], last[buffer]) for buffer in arena]
    offsets, total = assign_offsets(lives) if known is None else _placed(lives, known)
    check_offsets(lives, offsets, total)
    place = dict(zip(arena, offsets, strict=True))
    steps = []
    for step, plans in zip(program.steps, calls, strict=True):
        kernel = step.kernel
        extent, work = bound(kernel.extent), bound(kernel.work)
        steps.append(
            PlannedStep(
                kernel.name,
                kernel,
                tuple(numbers[buffer] for buffer in step.buffers),
                tuple(bound(size) for size in kernel.sizes),
                extent,
                _chunk(kernel, extent, work),
                work,
                plans,
            )
        )
    buffers = tuple(
        PlannedBuffer(buffer, buffer.place, bytes[buffer], place.get(buffer, -1), first[buffer], last[buffer])
        for buffer in first
    )
    return Plan(dict(sizes), tuple(steps), buffers, aligned(total), largest_live_sum(lives))


def _placed(lives: Sequence[Life], known: Iterator[int]) -> tuple[list[int], int]:
    """Known offsets, and the size of the arena that they take."""
    offsets = list(itertools.islice(known, len(lives)))
    if len(offsets) < len(lives):
        raise VerifyError(f"{len(offsets)} known offsets", expected=f"one for each of {len(lives)} buffers")
    ends = (offset + aligned(life.bytes) for offset, life in zip(offsets, lives, strict=True) if life.bytes)
    return offsets, max(ends, default=0)
