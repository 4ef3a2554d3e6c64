"""Bundles: neighbouring steps that are independent of each other, whose tasks the threads share as those of one step.

Between two steps all threads wait for the last task of the first. Steps that do not touch what the other writes need
not: small ones then run side by side, and the end of a large one is filled with the beginning of the next. Tasks are
those of the steps, so results do not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from graphc.ir.op import Array
from graphc.record import record
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.native.loop import STEP_WORDS
from graphc.runtime.plan import Plan, PlannedBuffer, least_work
from graphc.runtime.program import Executable

__all__ = ["Bundled", "bundled"]

_Part: TypeAlias = tuple[object, int, int]
"""What holds it, and from which byte to which."""

_MEMBER_WORDS = 5
"""The number of the first task after those of the member, its kernel, its table, its extent and its chunk."""

_MOST_MEMBERS = 32
"""A task looks for the member that it belongs to one by one."""

_BUNDLE = KernelRequest(
    f"""
def bundle(table, lo, hi):
    member = table
    start = 0
    for task in range(lo, hi):
        while word(member, 0) <= task:
            start = word(member, 0)
            member += {8 * _MEMBER_WORDS}
        first = (task - start) * word(member, 4)
        call_kernel(word(member, 1), word(member, 2), first, min(word(member, 3), first + word(member, 4)))
""",
    "bundle",
    "void(int64, int64, int64)",
)


@record(eq=False)
class Bundled:
    """What the native loop runs.

    Attributes:
        rows: a step or a bundle each, as :mod:`graphc.runtime.native.loop` describes them.
        firsts: the number of the first step of each row.
        tables: words of the bundles, which must stay where they are.
    """

    rows: Array
    firsts: tuple[int, ...]
    tables: tuple[Array, ...]


def bundled(rows: Array, plan: Plan, program: Executable, is_called: bool) -> Bundled:
    """The rows of a plan's steps, with those of bundles as one.

    Args:
        rows: of the steps, one each.
        plan: the plan.
        program: what it is a plan of.
        is_called: whether a step of another program runs it: its arguments, results and state may then be one memory.
    """
    made, firsts, tables = [], [], []
    for members in _bundles(_Memory(plan, program, is_called), plan):
        firsts.append(members[0])
        if len(members) == 1:
            made.append(tuple(rows[members[0]]))
            continue
        ends = np.cumsum([-(-plan.steps[number].extent // plan.steps[number].chunk) for number in members])
        table = np.column_stack((ends, rows[members]))
        tables.append(np.ascontiguousarray(table, np.int64))
        made.append((load([_BUNDLE])[0], tables[-1].ctypes.data, int(ends[-1]), 1))
    return Bundled(np.array(made, np.int64).reshape(-1, STEP_WORDS), tuple(firsts), tuple(tables))


def _bundles(memory: _Memory, plan: Plan) -> Iterator[list[int]]:
    """The numbers of the steps, those of a bundle together."""
    members: list[int] = []
    for number in range(len(plan.steps)):
        if members and not (len(members) < _MOST_MEMBERS and memory.joins(number)):
            yield from _worthwhile(members, plan)
            members = []
            memory.clear()
        members.append(number)
        memory.add(number)
    yield from _worthwhile(members, plan)


def _worthwhile(members: list[int], plan: Plan) -> Iterator[list[int]]:
    """The steps as a bundle, or one by one where they are too small for more threads."""
    steps = [plan.steps[number] for number in members]
    shared = any(step.chunk < step.extent for step in steps)
    if len(members) > 1 and (shared or sum(step.work / least_work(step.kernel) for step in steps) >= 2):
        yield members
    else:
        yield from ([number] for number in members)


class _Memory:
    """What the members of a bundle read and write: parts of the arena, and buffers elsewhere."""

    def __init__(self, plan: Plan, program: Executable, is_called: bool) -> None:
        self._plan = plan
        self._program = program
        self._is_called = is_called
        self.clear()

    def clear(self) -> None:
        """Begin another bundle."""
        self._read: list[_Part] = []
        self._written: list[_Part] = []
        self._closed = False

    def joins(self, number: int) -> bool:
        """Whether a step may run together with those before it."""
        if self._closed or self._is_alone(number):
            return False
        reads, writes = self._parts(number)
        return not _touch(writes, self._written) and not _touch(writes, self._read) and not _touch(reads, self._written)

    def add(self, number: int) -> None:
        """Take in a step."""
        reads, writes = self._parts(number)
        self._read += reads
        self._written += writes
        self._closed = self._is_alone(number)

    def _is_alone(self, number: int) -> bool:
        """Whether a step may end the run, or runs others."""
        step = self._plan.steps[number]
        return step.kernel.faults or bool(step.calls) or not step.extent

    def _parts(self, number: int) -> tuple[list[_Part], list[_Part]]:
        """Where a step reads and where it writes: the arena or another buffer, from a byte to a byte."""
        items = [self._plan.buffers[place] for place in self._plan.steps[number].buffers]
        parts = [self._part(item) for item in items]
        reads = self._program.steps[number].reads
        return parts[:reads], parts[reads:]

    def _part(self, item: PlannedBuffer) -> _Part:
        if item.place == "arena":
            return "arena", item.offset, item.offset + item.bytes
        if self._is_called and item.place in ("input", "output", "carry"):
            return "caller", 0, 1
        return item.buffer, 0, 1


def _touch(some: Sequence[_Part], others: Sequence[_Part]) -> bool:
    return any(
        where == place and start < last and first < end for where, start, end in some for place, first, last in others
    )
