"""Measures the steps of a compiled function: calls it again and again, with stamps among some of its steps.

Every step is timed in runs that stamp it and a few others, so that the stamps take at most a small part of a run; what
a stamp takes is found out and taken off. Runs with no stamps but those at both ends tell what a call costs outside its
steps: binding arguments, making result arrays, and coming back to Python.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphError
from graphc.ir.op import Array
from graphc.runtime.cost import member_shares, step_cost
from graphc.runtime.executor import Executor
from graphc.runtime.machine import Machine
from graphc.runtime.profiling.machine_limits import MachineLimits, machine_limits
from graphc.runtime.profiling.profile import Profile, ProfiledStep
from graphc.runtime.profiling.stamps import Arrangement, Section, StampedMachine, seconds_per_tick, stamp_ticks
from graphc.runtime.profiling.trace import trace_of
from graphc.runtime.program import Program

__all__ = ["measure"]

_STAMP_SHARE = 0.03
"""The part of a run that its stamps may take."""

_MOST_GROUPS = 8
_FIRST_SECONDS = 5e-3
"""For so long, calls are made that nobody looks at: the first ones are slow."""

_SHORT_SECONDS, _WARMING_CALLS = 2e-2, 3
"""Calls that are shorter are preceded by some that do not count, for at most so long: so that caches hold what they
hold in a loop, and the threads, which what was between the calls let fall asleep, are awake."""

_PROFILE_SECONDS, _LEAST_REPEATS, _MOST_REPEATS = 0.1, 5, 500
"""How often calls are repeated where that is not given: for so long, times the number of groups of steps."""

_LEAST_ENTRIES, _MOST_ENTRIES = 1 << 14, 1 << 22
"""Room for stamps: at first, and at most (64 MiB). A call that leaves more is profiled without steps of loops."""


def measure(executor: Executor, args: tuple[Any, ...], named: Mapping[str, Any], repeats: int | None) -> Profile:
    """Call an executor's program again and again, and restore the variables.

    Raises:
        FeedError: the arguments do not match the placeholders.
        IndexFault: the data hold an index outside its axis.
        GraphError: ``repeats`` is less than 1.
    """
    if repeats is not None and repeats < 1:
        raise GraphError(f"repeats={repeats}", expected="at least 1")
    limits = machine_limits()
    program = executor.program
    with executor.prepared(args, named) as (machine, arrays):
        variables = [value.node.attrs.storage.array for value in program.graph.variables]
        saved = [array.copy() for array in variables]
        try:
            return _Session(executor, program, machine, arrays, repeats).profile(limits)
        finally:
            for array, before in zip(variables, saved, strict=True):
                array[...] = before


class _Session:
    """The calls that make a profile."""

    def __init__(
        self, executor: Executor, program: Program, machine: Machine, arrays: Sequence[Array], repeats: int | None
    ) -> None:
        self.executor = executor
        self.program = program
        self.machine = machine
        self.arrays = arrays
        self.repeats = repeats

    def profile(self, limits: MachineLimits) -> Profile:
        first = [self._call(self.machine, self.machine.run)]
        while sum(first) < _FIRST_SECONDS and len(first) < _MOST_REPEATS:
            first.append(self._call(self.machine, self.machine.run))
        repeats = self.repeats or max(_LEAST_REPEATS, min(_MOST_REPEATS, int(_PROFILE_SECONDS / min(first))))
        stamped, everything, complete = self._stamped()
        runs = _counts(stamped)
        groups = _groups(everything, runs, min(first) / seconds_per_tick())
        ends, *arrangements = [stamped.arrange(group) for group in ((), *groups)]
        calls: list[float] = []
        outside: list[float] = []
        native: dict[Arrangement, list[float]] = {arrangement: [] for arrangement in (ends, *arrangements)}
        ticks: dict[int, list[float]] = {number: [] for number in everything}
        for _ in range(repeats):
            calls.append(self._warm(lambda: self._call(self.machine, self.machine.run), first))
            seconds = self._warm(lambda: self._stamped_call(ends), first)
            native[ends].append(stamped.ticks)
            outside.append(seconds - stamped.ticks * seconds_per_tick())
            for arrangement, group in zip(arrangements, groups, strict=True):
                self._warm(functools.partial(self._stamped_call, arrangement), first)
                native[arrangement].append(stamped.ticks)
                sums = _sums(stamped)
                for number in group:
                    ticks[number].append(sums.get(number, 0.0))
        self._stamped_call(stamped.arrange(everything, tasks=True))
        whole = _typical(native[ends], native[ends]) - stamp_ticks()
        typical = {
            number: _typical(ticks[number], native[arrangement])
            for arrangement, group in zip(arrangements, groups, strict=True)
            for number in group
        }
        steps = _corrected(stamped, groups, runs, typical, whole)
        added = [min(native[arrangement]) - min(native[ends]) for arrangement in arrangements]
        return Profile(
            _profiled_steps(
                stamped.sections[0], self.program, {n: t * seconds_per_tick() for n, t in steps.items()}, runs
            ),
            max(0.0, _typical(outside, outside)),
            _typical(calls, calls),
            statistics.mean(added or [0.0]) * seconds_per_tick() / min(calls),
            self.machine.plan.sizes,
            limits,
            trace_of(stamped, self.program, seconds_per_tick()),
            complete,
        )

    def _stamped(self) -> tuple[StampedMachine, list[int], bool]:
        """A machine with room for the stamps of all steps, which it has run, and these steps."""
        stamped = StampedMachine(self.executor.twin(self.machine), _LEAST_ENTRIES)
        steps = stamped.steps()
        self._stamped_call(stamped.arrange(steps))
        if stamped.log.full:
            needed = stamped.log.count
            stamped = StampedMachine(self.executor.twin(self.machine), min(2 * needed, _MOST_ENTRIES))
            if needed > _MOST_ENTRIES:
                steps = steps[: len(self.machine.plan.steps)]
            self._stamped_call(stamped.arrange(steps))
        return stamped, steps, not stamped.log.full and len(steps) == len(stamped.steps())

    def _warm(self, call: Callable[[], float], first: Sequence[float]) -> float:
        """Seconds of a call, after others of its kind where it is so short that what was before it tells."""
        for _ in range(min(_WARMING_CALLS, int(_SHORT_SECONDS / min(first)))):
            call()
        return call()

    def _stamped_call(self, arrangement: Arrangement) -> float:
        arrangement.prepare()
        return self._call(arrangement.stamped.machine, arrangement.run)

    def _call(self, machine: Machine, run: Callable[[], int]) -> float:
        """Seconds of a call, as the executor makes it."""
        start = time.perf_counter()
        results = machine.results()
        machine.bind((*self.arrays, *results))
        fault = run()
        seconds = time.perf_counter() - start
        if fault >= 0:
            # Nothing was written before the fault: the plain program finds it again, and knows where.
            machine.forget_fault()
            self.executor.run(self.machine, self.arrays)
        return seconds


def _typical(taken: Sequence[float], calls: Sequence[float]) -> float:
    """The mean of what was taken in the middle half of the calls: the interquartile mean, by what the calls took.

    Means add up: the steps of a call to the call, which medians do not do where a delay hits now one step, now another.
    """
    order = np.argsort(np.asarray(calls), kind="stable")
    quarter = len(order) // 4
    return float(np.mean(np.asarray(taken)[order[quarter : len(order) - quarter]]))


def _counts(stamped: StampedMachine) -> dict[int, int]:
    """How often the last run ran each step."""
    numbers, counts = np.unique(stamped.spans()[:, 0], return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _within(section: Section) -> dict[int, set[int]]:
    """For each step of a program and of those that it calls, the steps of the programs that it calls."""
    found: dict[int, set[int]] = {}
    for place in range(len(section.tables.plan.steps)):
        inner: dict[int, set[int]] = {}
        for called in section.inner.get(place, ()):
            inner |= _within(called)
        found |= inner
        found[section.first + place] = set(inner)
    return found


def _corrected(
    stamped: StampedMachine,
    groups: Sequence[Sequence[int]],
    runs: Mapping[int, int],
    ticks: Mapping[int, float],
    whole: float,
) -> dict[int, float]:
    """The ticks of each step without those of the stamps.

    Stamps overlap with the kernels around them, so what they take is not known beforehand: it is what the steps of the
    plan take together beyond ``whole``, a run without stamps between them.
    """
    within = _within(stamped.sections[0])
    counts = {
        number: runs.get(number, 0) + sum(runs.get(inner, 0) for inner in within[number].intersection(group))
        for group in groups
        for number in group
    }
    outermost = [
        number for number in ticks if number < stamped.sections[0].first + len(stamped.sections[0].tables.rows)
    ]
    beyond = sum(ticks[number] for number in outermost) - whole
    each = min(max(0.0, beyond / max(1, sum(counts[number] for number in outermost))), 2 * stamp_ticks())
    return {number: max(0.0, taken - counts[number] * each) for number, taken in ticks.items()}


def _sums(stamped: StampedMachine) -> dict[int, float]:
    """The ticks that the last run spent on each step."""
    spans = stamped.spans()
    numbers, places = np.unique(spans[:, 0], return_inverse=True)
    sums = np.bincount(places, spans[:, 2] - spans[:, 1], len(numbers))
    return dict(zip(numbers.tolist(), sums.tolist(), strict=True))


def _groups(steps: Sequence[int], runs: Mapping[int, int], call_ticks: float) -> list[list[int]]:
    """Steps that may be stamped in one run: neighbours, which share a stamp."""
    costs = [runs.get(number, 0) * stamp_ticks() for number in steps]
    limit = max(_STAMP_SHARE * call_ticks, sum(costs) / _MOST_GROUPS)
    groups: list[list[int]] = []
    room = 0.0
    for number, cost in zip(steps, costs, strict=True):
        if room < cost:
            groups.append([])
            room = limit - stamp_ticks()
        groups[-1].append(number)
        room -= cost
    return groups


def _profiled_steps(
    section: Section, program: Program, seconds: Mapping[int, float], runs: Mapping[int, int], prefix: str = ""
) -> tuple[ProfiledStep, ...]:
    tables = section.tables
    sizes = tables.plan.sizes
    alive = tables.plan.alive_bytes()
    found = []
    for place, (planned, bound) in enumerate(zip(tables.plan.steps, program.steps, strict=True)):
        number = section.first + place
        label = f"{prefix}{place}"
        called = section.inner.get(place, ())
        inner = tuple(
            step
            for i, (other, inside) in enumerate(zip(called, bound.programs, strict=True))
            for step in _profiled_steps(
                other, inside, seconds, runs, f"{label}.{i}." if len(called) > 1 else f"{label}."
            )
        )
        count = runs.get(number, 0)
        cost = step_cost(bound, sizes)
        found.append(
            ProfiledStep(
                label,
                planned.name,
                bound.step.node,
                count,
                seconds.get(number, 0.0),
                count * cost.flops + sum(step.flops for step in inner),
                count * cost.bytes + sum(step.bytes for step in inner),
                alive[place],
                max(1, -(-planned.extent // planned.chunk)),
                inner,
                tuple(member_shares(bound, sizes)),
            )
        )
    return tuple(found)
