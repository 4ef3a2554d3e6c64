"""Time of each step of a plan."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import Location
from graphc.ir.dims import bind
from graphc.runtime.executor import Executor
from graphc.runtime.native import program_runner

__all__ = ["Profile", "ProfiledStep", "profile"]


@dataclass(frozen=True, slots=True)
class ProfiledStep:
    """A step and its time.

    Attributes:
        name: of the kernel.
        seconds: the median over the repeats.
        work: an estimate of its scalar operations.
        location: the user's line.
    """

    name: str
    seconds: float
    work: int
    location: Location | None


@dataclass(frozen=True, slots=True)
class Profile:
    """The steps of a plan in their order, with their times."""

    steps: tuple[ProfiledStep, ...]

    @property
    def seconds(self) -> float:
        """The sum of all steps."""
        return sum(step.seconds for step in self.steps)

    def __str__(self) -> str:
        total = self.seconds or 1.0
        lines = [f"{'step':>4}  {'kernel':<14} {'us':>10} {'share':>7} {'Gop/s':>8}  line"]
        for number, step in enumerate(self.steps):
            rate = step.work / step.seconds / 1e9 if step.seconds else 0.0
            lines.append(
                f"{number:>4}  {step.name:<14} {step.seconds * 1e6:>10.2f} {step.seconds / total:>7.1%} {rate:>8.2f}"
                f"  {step.location or ''}"
            )
        return "\n".join([*lines, f"total {self.seconds * 1e6:.2f} us"])


def profile(executor: Executor, args: tuple[Any, ...], named: Mapping[str, Any], repeats: int) -> Profile:
    """Run the steps of an executor one by one, each ``repeats`` times in its turn, and restore the variables."""
    with executor.bound(args, named) as (machine, _):
        variables = [value.node.attrs.storage.array for value in executor.program.graph.variables]
        saved = [array.copy() for array in variables]
        times: list[list[float]] = [[] for _ in machine.plan.steps]
        status = np.zeros(3, np.int64)
        uses_blas = machine.plan.uses_blas
        runners = [program_runner(machine.rows[i : i + 1], status, uses_blas=uses_blas) for i in range(len(times))]
        for _ in range(repeats):
            for number, run in enumerate(runners):
                start = time.perf_counter()
                run()
                times[number].append(time.perf_counter() - start)
        for array, before in zip(variables, saved, strict=True):
            array[...] = before
    return Profile(
        tuple(
            ProfiledStep(
                step.name,
                statistics.median(taken),
                bind(bound.kernel.work, machine.plan.sizes),
                bound.step.node.location,
            )
            for step, taken, bound in zip(machine.plan.steps, times, executor.program.steps, strict=True)
        )
    )
