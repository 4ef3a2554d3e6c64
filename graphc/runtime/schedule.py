"""The order of the steps.

It keeps the memory in use low, writes variables in place where it can, and finds every fault in the data before any
variable changes.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphc.ir.dims import bind, symbols
from graphc.record import record
from graphc.runtime.lower import Lowered, with_buffers
from graphc.runtime.program import Step
from graphc.runtime.views import Buffer

__all__ = ["Schedule", "live_bytes", "schedule"]

_NOMINAL = 64
"""What an open size counts for when orders are compared."""


@record(eq=False)
class Schedule:
    """Steps in their order, and for some of them which results are to overwrite which operands: variables in place."""

    steps: tuple[Step, ...]
    shared: Mapping[Step, Mapping[int, int]]


@dataclass
class _Dependencies:
    """Steps by number, and which must come before which."""

    steps: list[Step]
    before: list[set[int]] = field(default_factory=list)
    after: list[set[int]] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.before = [set() for _ in self.steps]
        self.after = [set() for _ in self.steps]
        writers: dict[Buffer, list[int]] = {}
        readers: dict[Buffer, list[int]] = {}
        for number, step in enumerate(self.steps):
            for buffer in step.reads:
                for writer in writers.get(buffer, ()):
                    self.require(writer, number)
                readers.setdefault(buffer, []).append(number)
            for buffer in step.writes:
                for earlier in (*writers.get(buffer, ()), *readers.get(buffer, ())):
                    self.require(earlier, number)
                writers.setdefault(buffer, []).append(number)

    def require(self, first: int, second: int) -> None:
        if first != second:
            self.before[second].add(first)
            self.after[first].add(second)

    @property
    def kept(self) -> list[int]:
        """The steps that are still to run."""
        return [number for number in range(len(self.steps)) if number not in self.dropped]

    def drop(self, number: int) -> None:
        for other in self.before[number]:
            self.after[other].discard(number)
        for other in self.after[number]:
            self.before[other].discard(number)
        self.before[number], self.after[number] = set(), set()
        self.dropped.add(number)

    def following(self, number: int) -> set[int]:
        """All steps that come after one, directly or not."""
        found: set[int] = set()
        stack = [number]
        while stack:
            for other in self.after[stack.pop()]:
                if other not in found:
                    found.add(other)
                    stack.append(other)
        return found


def schedule(lowered: Lowered) -> Schedule:
    """Order the steps of a graph."""
    graph = _Dependencies(list(lowered.steps))
    shared = _write_in_place(graph, lowered.commits)
    _faults_first(graph)
    orders = [_stable_order(graph, graph.kept), _greedy_order(graph, graph.kept)]
    steps = [[graph.steps[number] for number in order] for order in orders]
    best = min(steps, key=lambda order: max(live_bytes(order), default=0))
    return Schedule(tuple(best), {graph.steps[number]: pairs for number, pairs in shared.items()})


def _write_in_place(graph: _Dependencies, commits: Sequence[Step]) -> dict[int, dict[int, int]]:
    """Let steps write next values straight into their variables, where every other reader can come first.

    Where such a step may overwrite an operand that nothing else reads, the one that makes the operand is next. A fault
    must find a variable as it was: nothing is written before a step that may find one.
    """
    numbers = {step: number for number, step in enumerate(graph.steps)}
    faulting = {number for number, step in enumerate(graph.steps) if step.faults}
    users: dict[Buffer, set[int]] = {}
    writers: dict[Buffer, list[int]] = {}
    for number, step in enumerate(graph.steps):
        for buffer in step.reads:
            users.setdefault(buffer, set()).add(number)
        for buffer in step.writes:
            users.setdefault(buffer, set()).add(number)
            writers.setdefault(buffer, []).append(number)
    shared: dict[int, dict[int, int]] = {}
    for commit in commits:
        copy = numbers[commit]
        (value,), (variable,) = commit.reads, commit.writes
        readers = users.get(variable, set()) - {copy}
        overwriting: tuple[int, int, int] | None = None
        while value.place == "arena" and len(writers[value]) == 1:
            (writer,) = writers[value]
            step = graph.steps[writer]
            position = next(i for i, buffer in enumerate(step.writes) if buffer is value)
            reading = [i for i, buffer in enumerate(step.reads) if buffer is variable]
            if len(reading) > 1 or (reading and (position, reading[0]) not in step.shareable):
                break
            others = readers - {writer}
            if not (others | faulting).isdisjoint({writer, *graph.following(writer)}):
                break
            for other in others:
                graph.require(other, writer)
            for user in users[value]:
                graph.steps[user] = with_buffers(graph.steps[user], {value: variable})
            users[variable] = (users[value] | users.get(variable, set())) - {copy}
            if overwriting is None:
                graph.drop(copy)
            else:
                user, w, r = overwriting
                shared.setdefault(user, {})[w] = r
            if reading:
                shared.setdefault(writer, {})[position] = reading[0]
                break
            alone = [
                r
                for w, r in step.shareable
                if w == position and users[step.reads[r]] == {writer, *writers.get(step.reads[r], ())}
            ]
            if not alone:
                break
            overwriting = writer, position, alone[0]
            value = step.reads[alone[0]]
    return shared


def _faults_first(graph: _Dependencies) -> None:
    """Put steps that may find a fault before those that write variables, so that a fault leaves all state as it was."""
    faulting = [number for number in graph.kept if graph.steps[number].faults]
    if not faulting:
        return
    for number in graph.kept:
        if any(buffer.place == "variable" for buffer in graph.steps[number].writes):
            later = graph.following(number)
            for fault in faulting:
                if fault not in later:
                    graph.require(fault, number)


def _nominal_bytes(buffer: Buffer) -> int:
    """Bytes in the arena, where open sizes have a nominal value."""
    if buffer.place != "arena":
        return 0
    names = {symbol.name: _NOMINAL for symbol in symbols(buffer.items)}
    return bind(buffer.items, names) * buffer.dtype.itemsize


def _stable_order(graph: _Dependencies, kept: Sequence[int]) -> list[int]:
    """The order of the graph, as far as the dependencies allow."""
    waiting = {number: len(graph.before[number]) for number in kept}
    ready = [number for number in kept if not waiting[number]]
    heapq.heapify(ready)
    order = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for other in graph.after[number]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, other)
    return order


def _greedy_order(graph: _Dependencies, kept: Sequence[int]) -> list[int]:
    """Always the step that frees most, or needs least, memory; the earliest among equals."""
    sizes: dict[Buffer, int] = {}
    pending: dict[Buffer, set[int]] = {}
    for number in kept:
        for buffer in (*graph.steps[number].reads, *graph.steps[number].writes):
            if buffer not in sizes:
                sizes[buffer] = _nominal_bytes(buffer)
            pending.setdefault(buffer, set()).add(number)
    started: set[Buffer] = set()

    def cost(number: int) -> int:
        step = graph.steps[number]
        total = sum(sizes[buffer] for buffer in set(step.writes) if buffer not in started)
        return total - sum(sizes[buffer] for buffer in {*step.reads, *step.writes} if len(pending[buffer]) == 1)

    waiting = {number: len(graph.before[number]) for number in kept}
    ready = {number for number in kept if not waiting[number]}
    heap = [(cost(number), number) for number in ready]
    heapq.heapify(heap)
    order: list[int] = []
    while heap:
        claimed, number = heapq.heappop(heap)
        if number not in ready:
            continue
        current = cost(number)
        if current > claimed:
            heapq.heappush(heap, (current, number))
            continue
        ready.discard(number)
        order.append(number)
        step = graph.steps[number]
        started.update(step.writes)
        for buffer in {*step.reads, *step.writes}:
            pending[buffer].discard(number)
            if len(pending[buffer]) == 1:
                (last,) = pending[buffer]
                if last in ready:
                    heapq.heappush(heap, (cost(last), last))
        for other in graph.after[number]:
            waiting[other] -= 1
            if not waiting[other]:
                ready.add(other)
                heapq.heappush(heap, (cost(other), other))
    return order


def live_bytes(steps: Sequence[Step]) -> list[int]:
    """For each step, the bytes of the arena's buffers that are in use while it runs, for nominal sizes."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for time, step in enumerate(steps):
        for buffer in (*step.reads, *step.writes):
            if buffer.place == "arena":
                first.setdefault(buffer, time)
                last[buffer] = time
    change = [0] * (len(steps) + 1)
    for buffer, time in first.items():
        size = _nominal_bytes(buffer)
        change[time] += size
        change[last[buffer] + 1] -= size
    result, total = [], 0
    for delta in change[:-1]:
        total += delta
        result.append(total)
    return result
