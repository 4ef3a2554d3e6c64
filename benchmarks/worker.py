"""The process that measures one system on one workload: `python -m benchmarks.worker JOB`, both ways in JSON."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.workload import Step
from benchmarks.workloads import WORKLOADS

CHECKED_STEPS = 20
WARM_UP_SECONDS = 0.5
STRETCH_SECONDS = 0.01


@dataclass(frozen=True)
class Job:
    """What to measure. With `seconds` 0 the worker stops after the checked steps."""

    workload: str
    system: str
    seconds: float
    started: float
    """`time.monotonic()` in the parent, just before it started this process."""
    threads: int


@dataclass(frozen=True)
class Run:
    """What one process measured."""

    losses: list[float]
    """Of the first steps."""
    first_step: float
    """Seconds from the start of the process to the end of the first step."""
    numba_imported: bool
    """Whether the first step needed Numba."""
    step: float | None
    """Seconds a step: the median over stretches of at least 10 ms."""


def time_steps(step: Step, seconds: float) -> float:
    """Seconds a step: the median over stretches of many steps each, after a warm-up."""
    start = time.perf_counter()
    warm_up_steps = 0
    while time.perf_counter() - start < WARM_UP_SECONDS or warm_up_steps < 3:
        float(step())
        warm_up_steps += 1
    stretch = range(max(1, round(STRETCH_SECONDS * warm_up_steps / (time.perf_counter() - start))))
    measured = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in stretch:
            loss = step()
        float(loss)  # waits for those who return early
        measured.append((time.perf_counter() - start) / len(stretch))
    return statistics.median(measured)


def run(job: Job) -> Run:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.threads])
    step = WORKLOADS[job.workload].builders[job.system]()
    losses = [float(step())]
    first_step = time.monotonic() - job.started
    numba_imported = "numba" in sys.modules
    losses += [float(step()) for _ in range(CHECKED_STEPS - 1)]
    return Run(losses, first_step, numba_imported, time_steps(step, job.seconds) if job.seconds else None)


if __name__ == "__main__":
    print(json.dumps(asdict(run(Job(**json.loads(sys.argv[1]))))))
