"""Where the time of a call goes: each step, with its operations, bytes and memory; as tables, JSON and a timeline."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from os import PathLike
from typing import Any, Literal, TypeAlias, get_args

from graphc.errors import GraphError, Location
from graphc.ir.graph import Node
from graphc.ir.source import Phase
from graphc.record import record
from graphc.runtime.profiling.machine_limits import MachineLimits
from graphc.runtime.profiling.trace import Trace

__all__ = ["Group", "Profile", "ProfiledStep"]

View: TypeAlias = Literal["op", "scope", "line", "phase"]


@record(eq=False)
class ProfiledStep:
    """A step of the plan, or of a program that a step calls, and what a call spends on it.

    Attributes:
        number: its place: ``"3"``, or ``"3.1"`` in the loop that step 3 runs (``"3.1.2"``: in its program 1).
        name: of the kernel.
        node: what it computes, or prepares, in the final graph or in a graph that a node holds.
        runs: how often a call runs it; the other numbers are of all of them.
        seconds: the mean over the middle half of the repeats, by what the calls took.
        flops: floating-point operations; see :class:`graphc.runtime.cost.Cost`.
        bytes: read and written, each operand counted once.
        memory: bytes of intermediate results alive while it runs; in a loop, of the loop's own.
        tasks: how many parts it is cut into, which threads share.
        inner: the steps of the programs that it calls.
        parts: the nodes that it computes, with their parts of its time: one, or those of a fused group by their costs.
    """

    number: str
    name: str
    node: Node
    runs: int
    seconds: float
    flops: int
    bytes: int
    memory: int
    tasks: int
    inner: tuple[ProfiledStep, ...]
    parts: tuple[tuple[Node, float], ...]

    @property
    def location(self) -> Location | None:
        """The user's line."""
        return self.node.location

    @property
    def scope(self) -> str:
        """The scopes that the user's line stood in."""
        return self.node.scope

    @property
    def phase(self) -> Phase:
        """Whether it belongs to the forward or to the backward graph."""
        return self.node.phase

    @property
    def own_seconds(self) -> float:
        """Without the steps of the programs that it calls."""
        return max(0.0, self.seconds - sum(step.seconds for step in self.inner))

    @property
    def what(self) -> str:
        """The operation, or those of its fused group."""
        if len(self.parts) > 1:
            return "fused: " + ", ".join(node.op.name for node, _ in self.parts)
        return self.name

    def all_steps(self) -> Iterator[ProfiledStep]:
        """It, then those of the programs that it calls."""
        yield self
        for step in self.inner:
            yield from step.all_steps()


@record
class Group:
    """What a call spends on steps, or parts of fused steps, that have something in common.

    Attributes:
        name: what they have in common.
        seconds: their time.
        flops: their floating-point operations.
        bytes: read and written.
        steps: how many steps of the plan have a part in it.
    """

    name: str
    seconds: float
    flops: float
    bytes: float
    steps: int


@record(eq=False, slots=False)
class Profile:
    """What a call of a compiled function spends its time on.

    Attributes:
        steps: those of the plan, in their order.
        outside: seconds of a call outside its steps.
        call_seconds: the same mean of calls that were not profiled, in turns with those that were.
        overhead: by how much longer the profiled ones took, in proportion; as the shortest of each tell.
        sizes: the values of the symbolic sizes.
        limits: what the machine can do.
        trace: when each step and task of one call ran.
        complete: False where a loop ran so often that its steps could not be recorded.
    """

    steps: tuple[ProfiledStep, ...]
    outside: float
    call_seconds: float
    overhead: float
    sizes: Mapping[str, int]
    limits: MachineLimits
    trace: Trace
    complete: bool = True

    @property
    def seconds(self) -> float:
        """A call: all steps, and what is outside them."""
        return self.outside + sum(step.seconds for step in self.steps)

    def all_steps(self) -> Iterator[ProfiledStep]:
        """The steps, each followed by those of the programs that it calls."""
        for step in self.steps:
            yield from step.all_steps()

    @cached_property
    def seconds_by_node(self) -> dict[Node, float]:
        """Seconds of each node of the final graph, of the graphs of its loops and choices, and of its fused groups.

        A node that several steps compute has the sum of them; one that holds a graph also has what the graph's nodes
        have.
        """
        found: dict[Node, float] = defaultdict(float)
        for step in self.all_steps():
            found[step.node] += step.seconds
            if len(step.parts) > 1:
                for node, part in step.parts:
                    found[node] += step.seconds * part
        return dict(found)

    def by(self, view: View) -> tuple[Group, ...]:
        """The time by operation, scope, user's line or phase, the most first.

        The time of a fused step is divided among its operations by their costs; that of a loop goes to its steps.

        Raises:
            GraphError: there is no such view.
        """
        if view not in _KEYS:
            raise GraphError(f"there is no view {view!r}", expected=", ".join(map(repr, _KEYS)))
        key = _KEYS[view]
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        steps: dict[str, set[str]] = defaultdict(set)
        for step in self.all_steps():
            for node, part in step.parts:
                name = key(step, node)
                numbers = (step.own_seconds, step.flops if not step.inner else 0, step.bytes if not step.inner else 0)
                sums[name] = [total + part * number for total, number in zip(sums[name], numbers, strict=True)]
                steps[name].add(step.number)
        groups = [
            Group(name, seconds, flops, bytes, len(steps[name])) for name, (seconds, flops, bytes) in sums.items()
        ]
        return tuple(sorted(groups, key=lambda group: -group.seconds))

    def table(self, view: Literal["step"] | View = "step", sort: bool = False) -> str:
        """The profile as text.

        Args:
            view: a line for each step, operation, scope, user's line or phase.
            sort: for steps, those that take most time first; the other views always are in this order.

        Raises:
            GraphError: there is no such view.
        """
        lines = self._step_lines(sort) if view == "step" else self._group_lines(view)
        return "\n".join([*lines, *self._summary()])

    def __str__(self) -> str:
        return self.table()

    def to_dict(self) -> dict[str, Any]:
        """The profile as dicts, lists, texts and numbers."""
        return {
            "seconds": self.seconds,
            "outside": self.outside,
            "call_seconds": self.call_seconds,
            "overhead": self.overhead,
            "complete": self.complete,
            "sizes": dict(self.sizes),
            "limits": asdict(self.limits),
            "steps": [_step_dict(step) for step in self.steps],
            **{f"by_{view}": [asdict(group) for group in self.by(view)] for view in get_args(View)},
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def save_trace(self, path: str | PathLike[str]) -> None:
        """Write one call in the format of Chrome's tracing, which https://ui.perfetto.dev opens.

        There is a track for each thread, with the steps and their tasks, and one for the memory of intermediate
        results.
        """
        self.trace.save(path)

    # --- text -----------------------------------------------------------------------------------------------------

    def _step_lines(self, sort: bool) -> Iterator[str]:
        yield (
            f"{'step':<7} {'kernel':<16} {'runs':>6} {'us':>10} {'share':>6} {'GFLOP/s':>8} {'peak':>6} {'GB/s':>7}"
            f" {'memory':>6} {'KiB':>9} {'tasks':>5}  line"
        )
        for step in sorted(self.all_steps(), key=lambda step: -step.seconds) if sort else self.all_steps():
            what = f"  {step.what}" if step.what != step.name else ""
            yield (
                f"{step.number:<7} {step.name:<16} {step.runs:>6} {self._rates(step, step.seconds, self._peak(step))}"
                f" {step.memory / 1024:>9.1f} {step.tasks:>5}  {step.location.short if step.location else ''}{what}"
            )

    def _group_lines(self, view: View) -> Iterator[str]:
        groups = self.by(view)
        width = max([len(group.name) for group in groups] + [len(view)])
        yield (
            f"{view:<{width}} {'steps':>5} {'us':>10} {'share':>6} {'GFLOP/s':>8} {'peak':>6} {'GB/s':>7} {'memory':>6}"
        )
        for group in groups:
            rates = self._rates(group, group.seconds, self.limits.flops_float32)
            yield f"{group.name:<{width}} {group.steps:>5} {rates}"

    def _rates(self, of: ProfiledStep | Group, seconds: float, peak: float) -> str:
        flops, bytes = (of.flops / seconds, of.bytes / seconds) if seconds else (0.0, 0.0)
        return (
            f"{seconds * 1e6:>10.2f} {seconds / (self.seconds or 1.0):>6.1%} {flops / 1e9:>8.2f} {flops / peak:>6.1%}"
            f" {bytes / 1e9:>7.2f} {bytes / self.limits.bytes_per_second:>6.0%}"
        )

    def _peak(self, step: ProfiledStep) -> float:
        double = any(value.dtype.itemsize == 8 for value in step.node.outputs if value.dtype.is_float)
        return self.limits.flops_float64 if double else self.limits.flops_float32

    def _summary(self) -> Iterator[str]:
        limits = self.limits
        yield f"outside the steps {self.outside * 1e6:.2f} us"
        yield (
            f"total {self.seconds * 1e6:.2f} us; calls that are not profiled take {self.call_seconds * 1e6:.2f} us,"
            f" profiled ones {self.overhead:+.1%}"
        )
        yield (
            f"this machine with {limits.threads} threads: {limits.flops_float32 / 1e9:.0f} GFLOP/s in float32,"
            f" {limits.flops_float64 / 1e9:.0f} in float64, {limits.bytes_per_second / 1e9:.1f} GB/s from memory;"
            " more than 100% of that comes from caches"
        )
        if not self.complete:
            yield "a loop runs too often for its steps to be recorded: they are left out"


_KEYS: dict[str, Callable[[ProfiledStep, Node], str]] = {
    "op": lambda step, node: node.op.name if len(step.parts) > 1 else step.name,
    "scope": lambda step, node: node.scope or "(no scope)",
    "line": lambda step, node: node.location.short if node.location else "(unknown)",
    "phase": lambda step, node: node.phase,
}


def _step_dict(step: ProfiledStep) -> dict[str, Any]:
    location = step.location
    return {
        "number": step.number,
        "kernel": step.name,
        "ops": [node.op.name for node, _ in step.parts],
        "scope": step.scope,
        "phase": step.phase,
        "file": location.filename if location else None,
        "line": location.line if location else None,
        "runs": step.runs,
        "seconds": step.seconds,
        "flops": step.flops,
        "bytes": step.bytes,
        "memory": step.memory,
        "tasks": step.tasks,
        "inner": [_step_dict(inner) for inner in step.inner],
    }
