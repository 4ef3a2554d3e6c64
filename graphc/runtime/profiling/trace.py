"""One call as a timeline, in the JSON format of Chrome's tracing, which Perfetto and others read.

The format: "Trace Event Format", https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from graphc.record import record
from graphc.runtime.profiling.stamps import Section, StampedMachine
from graphc.runtime.program import BoundStep, Program

__all__ = ["Span", "Trace", "trace_of"]


@record
class Span:
    """What a thread did for a while.

    Attributes:
        name: of the step's kernel.
        kind: ``"step"`` for a step as the calling thread sees it, ``"task"`` for a part of one.
        thread: 0 for the calling thread; the others as they appear.
        start: seconds since the start of the call.
        seconds: how long it took.
        bound: the step.
    """

    name: str
    kind: str
    thread: int
    start: float
    seconds: float
    bound: BoundStep


@record(eq=False)
class Trace:
    """One call.

    Attributes:
        spans: steps and tasks, in the order of their starts; those of a loop's steps lie within that of the loop.
        memory: pairs of a time and the bytes of intermediate results alive from then on.
        seconds: how long the call took.
    """

    spans: tuple[Span, ...]
    memory: tuple[tuple[float, int], ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The trace as Chrome's tracing takes it: a list of events, with times in microseconds."""
        threads = sorted({0, *(span.thread for span in self.spans)})
        events: list[dict[str, Any]] = [_name("process_name", 0, "graphc")]
        for thread in threads:
            events.append(_name("thread_name", thread, f"worker {thread}" if thread else "calling thread"))
        events.append({"name": "call", "cat": "call", **_complete(0, 0.0, self.seconds)})
        for span in self.spans:
            events.append(
                {
                    "name": span.name,
                    "cat": span.kind,
                    **_complete(span.thread, span.start, span.seconds),
                    "args": dict(_arguments(span)),
                }
            )
        for time, bytes in self.memory:
            events.append({"name": "memory", "ph": "C", "pid": 1, "ts": time * 1e6, "args": {"bytes": bytes}})
        return {"traceEvents": events, "displayTimeUnit": "ns"}

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file."""
        Path(path).write_text(json.dumps(self.to_dict()), encoding="utf-8")


def _name(kind: str, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": 1, "tid": thread, "args": {"name": name}}


def _complete(thread: int, start: float, seconds: float) -> dict[str, Any]:
    return {"ph": "X", "pid": 1, "tid": thread, "ts": start * 1e6, "dur": seconds * 1e6}


def _arguments(span: Span) -> Iterator[tuple[str, str]]:
    node = span.bound.step.node
    yield "operation", node.op.name
    if node.location is not None:
        yield "line", node.location.short
    if node.scope:
        yield "scope", node.scope
    yield "phase", node.phase


def trace_of(stamped: StampedMachine, program: Program, seconds_per_tick: float) -> Trace:
    """The last run of a program by a machine, all of whose steps were stamped."""
    rows = stamped.spans()
    origin = int(stamped.log.entries[0, 1])
    steps = dict(_numbered(stamped.sections[0], program))

    def span(number: int, kind: str, thread: int, start: int, end: int) -> Span:
        bound = steps[number]
        times = (start - origin) * seconds_per_tick, (end - start) * seconds_per_tick
        return Span(bound.kernel.name, kind, thread, *times, bound)

    spans = [span(number, "step", 0, start, end) for number, start, end in rows.tolist()]
    threads = {threading.get_ident(): 0}
    for task in stamped.tasks():
        thread = threads.setdefault(task.thread, len(threads))
        spans.append(span(task.step, "task", thread, task.start, task.end))
    outermost = stamped.sections[0]
    alive = outermost.tables.plan.alive_bytes()
    memory = [
        ((start - origin) * seconds_per_tick, alive[number - outermost.first])
        for number, start, _ in rows.tolist()
        if number - outermost.first < len(alive)
    ]
    seconds = stamped.ticks * seconds_per_tick
    # The longer one first where two start together: it holds the other.
    spans.sort(key=lambda span: (span.start, -span.seconds))
    return Trace(tuple(spans), (*memory, (seconds, 0)), seconds)


def _numbered(section: Section, program: Program) -> Iterator[tuple[int, BoundStep]]:
    for place, bound in enumerate(program.steps):
        yield section.first + place, bound
        for inner, called in zip(section.inner.get(place, ()), bound.programs, strict=True):
            yield from _numbered(inner, called)
