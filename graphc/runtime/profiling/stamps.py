"""Time stamps between the steps of a plan, written by native code.

A stamp is a kernel like others: it appends its number and the processor's counter of time to a log. A second set of
tables of a plan gets stamps among its steps, so a plan that is not profiled holds nothing for the profiler. The tasks
of a step that several threads share are timed by a kernel that calls the step's own.
"""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from graphc.record import record
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.machine import Machine, Tables
from graphc.runtime.native.loop import STATUS_WORDS, STEP_WORDS, program_runner

__all__ = ["Arrangement", "Log", "Section", "StampedMachine", "Task", "seconds_per_tick", "stamp_ticks"]

_SIGNATURE = "void(int64, int64, int64)"
_ENTRY, _TASK_ENTRY = 2, 4
"""Words of a stamp (its number and the time), and of a task (its step's number, the thread, start and end)."""

_STAMP = KernelRequest(
    f"""
def stamp(table, lo, hi):
    log = word(table, 0)
    place = word(log, 0)
    if place < word(log, 1):
        set_word(place, 0, word(table, 1))
        set_word(place, 1, ticks())
    set_word(log, 0, place + {8 * _ENTRY})
""",
    "stamp",
    _SIGNATURE,
)

# The table of a timed task: the kernel, its table, the log, the step's number, and the function that names a thread.
_TASK = KernelRequest(
    f"""
def task(table, lo, hi):
    start = ticks()
    call_kernel(word(table, 0), word(table, 1), lo, hi)
    end = ticks()
    log = word(table, 2)
    place = fetch_add(log, {8 * _TASK_ENTRY})
    if place < word(log, 1):
        set_word(place, 0, word(table, 3))
        set_word(place, 1, call_pointer(word(table, 4)))
        set_word(place, 2, start)
        set_word(place, 3, end)
""",
    "task",
    _SIGNATURE,
)

_CLOCK = KernelRequest("def clock():\n    return ticks()\n", "clock", "int64()")


@functools.cache
def _clock() -> Callable[[], int]:
    [address] = load([_CLOCK])
    return ctypes.CFUNCTYPE(ctypes.c_int64)(address)


@functools.cache
def seconds_per_tick() -> float:
    """The rate of the processor's counter, measured once in a process against the system's clock."""
    clock = _clock()

    def pair() -> tuple[int, int]:
        return min(((time.perf_counter_ns(), clock()) for _ in range(5)), key=lambda both: both[0] - both[1])

    start = pair()
    time.sleep(0.02)
    end = pair()
    return (end[0] - start[0]) / (end[1] - start[1]) * 1e-9


@functools.cache
def stamp_ticks() -> float:
    """How long a stamp takes: a run of many, measured once in a process."""
    count = 1000
    log = Log(count, _ENTRY)
    table = np.array([log.address, 0], np.int64)
    rows = np.tile(np.array([load([_STAMP])[0], table.ctypes.data, 1, 1], np.int64), (count, 1))
    run = program_runner(rows, np.zeros(STATUS_WORDS, np.int64))
    spans = []
    for _ in range(5):
        log.clear()
        run()
        spans.append((log.entries[-1, 1] - log.entries[0, 1]) / (count - 1))
    return float(min(spans))


class Log:
    """Entries of a fixed number of words that native code appends; those that find no room are counted."""

    def __init__(self, capacity: int, words: int) -> None:
        self._entries = np.zeros((capacity, words), np.int64)
        start = self._entries.ctypes.data
        self._start, self._size = start, 8 * words
        self._head = np.array([start, start + self._entries.nbytes], np.int64)

    @property
    def address(self) -> int:
        """Where native code finds it."""
        return int(self._head.ctypes.data)

    @property
    def count(self) -> int:
        """How many entries there would be if there were room for all."""
        return int(self._head[0] - self._start) // self._size

    @property
    def full(self) -> bool:
        """Whether entries are missing."""
        return self.count > len(self._entries)

    @property
    def entries(self) -> NDArray[np.int64]:
        """What was appended since it was cleared."""
        return self._entries[: self.count]

    def clear(self) -> None:
        """Forget all entries."""
        self._head[0] = self._start


@record(eq=False)
class Section:
    """A program among those that a machine runs.

    Attributes:
        tables: its words.
        first: the number of the stamp before its first step; the others follow.
        inner: for each step that calls programs, these.
    """

    tables: Tables
    first: int
    inner: dict[int, tuple[Section, ...]]


@record
class Task:
    """A part of a step that one thread did; times in ticks, ``step`` as the number of the stamp before it."""

    step: int
    thread: int
    start: int
    end: int


class StampedMachine:
    """A machine whose runs leave stamps around chosen steps.

    Attributes:
        machine: the tables that stamps are put into; nobody else runs them.
        sections: the program and all that its steps call, each before those that it calls itself.
        log: the stamps of the last run.
        task_log: its timed tasks, where they were asked for.
    """

    def __init__(self, machine: Machine, capacity: int) -> None:
        self.machine = machine
        self.sections: list[Section] = []
        self._stamps = 2  # the first two are those around the whole run
        self._gather(machine)
        self._rows = [section.tables.rows for section in self.sections]
        self.log = Log(capacity, _ENTRY)
        self.task_log = Log(capacity // 4, _TASK_ENTRY)
        self._tables = np.array([[self.log.address, number] for number in range(self._stamps)], np.int64)
        self._stamp, self._task = load([_STAMP, _TASK])
        self._thread = ctypes.cast(ctypes.CDLL(None).pthread_self, ctypes.c_void_p).value or 0

    def _gather(self, tables: Tables) -> Section:
        inner: dict[int, tuple[Section, ...]] = {}
        section = Section(tables, self._stamps, inner)
        self.sections.append(section)
        self._stamps += len(tables.rows) + 1
        for step, called in tables.calls.items():
            inner[step] = tuple(map(self._gather, called))
        return section

    def steps(self) -> list[int]:
        """All steps, as numbers of the stamps before them."""
        return [section.first + step for section in self.sections for step in range(len(section.tables.plan.steps))]

    def arrange(self, chosen: Collection[int], tasks: bool = False) -> Arrangement:
        """The machine with stamps around the chosen steps, and around the whole run.

        Args:
            chosen: steps, as numbers of the stamps before them.
            tasks: whether to time tasks too.
        """
        wanted = set(chosen)
        arranged: list[NDArray[np.int64]] = []
        kept: list[NDArray[np.int64]] = []
        for section, plain in zip(self.sections, self._rows, strict=True):
            outermost = section is self.sections[0]
            rows = [self._stamp_row(0)] if outermost else []
            for number, row in enumerate(plain, section.first):
                if number in wanted or (number > section.first and number - 1 in wanted):
                    rows.append(self._stamp_row(number))
                kernel, table, extent, chunk = map(int, row)
                if tasks and chunk < extent:
                    kept.append(np.array([kernel, table, self.task_log.address, number, self._thread], np.int64))
                    kernel, table = self._task, kept[-1].ctypes.data
                rows.append((kernel, table, extent, chunk))
            if len(plain) and section.first + len(plain) - 1 in wanted:
                rows.append(self._stamp_row(section.first + len(plain)))
            rows += [self._stamp_row(1)] if outermost else []
            arranged.append(np.array(rows, np.int64).reshape(-1, STEP_WORDS))
        run = program_runner(arranged[0], self.machine.status)
        return Arrangement(self, tuple(arranged), run, tuple(kept))

    def _stamp_row(self, number: int) -> tuple[int, int, int, int]:
        return self._stamp, self._tables[number].ctypes.data, 1, 1

    @property
    def ticks(self) -> int:
        """How long the last run took."""
        entries = self.log.entries
        return int(entries[-1, 1] - entries[0, 1])

    def spans(self) -> NDArray[np.int64]:
        """Of the last run: rows of a step, its start and its end, in the order of their starts."""
        entries = self.log.entries
        found = []
        for section in self.sections:
            last = section.first + len(section.tables.plan.steps)
            own = entries[(entries[:, 0] >= section.first) & (entries[:, 0] <= last)]
            pairs = np.flatnonzero(own[1:, 0] == own[:-1, 0] + 1)
            found.append(np.column_stack((own[pairs, 0], own[pairs, 1], own[pairs + 1, 1])))
        spans = np.concatenate(found)
        return spans[np.argsort(spans[:, 1], kind="stable")]

    def tasks(self) -> list[Task]:
        """The timed tasks of the last run, in the order of their starts."""
        return sorted((Task(*map(int, entry)) for entry in self.task_log.entries), key=lambda task: task.start)


@record(eq=False)
class Arrangement:
    """Stamps among the steps of a machine.

    Attributes:
        stamped: the machine.
        rows: for each of its sections, the steps with their stamps.
        run: runs it, once it is prepared.
        kept: words that native code reads.
    """

    stamped: StampedMachine
    rows: tuple[NDArray[np.int64], ...]
    run: Callable[[], int]
    kept: tuple[NDArray[np.int64], ...]

    def prepare(self) -> None:
        """Make it what the machine's next run does, with empty logs."""
        self.stamped.log.clear()
        self.stamped.task_log.clear()
        for section, rows in zip(self.stamped.sections[1:], self.rows[1:], strict=True):
            section.tables.use(rows)
