"""The process that measures one system on one workload: `python -m benchmarks.worker JOB`, both ways in JSON."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import Step
from benchmarks.workloads import WORKLOADS

WARM_UP_SECONDS = 0.5
STRETCH_SECONDS = 0.01
CHECKED_ENTRIES = 64


@dataclass(frozen=True)
class Job:
    """What to measure. With `seconds` 0 the worker stops after the first step."""

    workload: str
    system: str
    seconds: float
    started: float
    """`time.monotonic()` in the parent, just before it started this process."""
    threads: int


@dataclass(frozen=True)
class Run:
    """What one process measured."""

    checked: list[float]
    """The losses of the first steps, or entries of the output."""
    first_step: float
    """Seconds from the start of the process to the end of the first step."""
    numba_imported: bool
    """Whether the first step needed Numba."""
    step: float | None
    """Seconds a step: the median over stretches of at least 10 ms."""
    peak_bytes: int
    """The most memory that the process has held."""


def array_of(result: Any) -> NDArray[Any]:
    """A step's result, when it is there."""
    return np.asarray(result.detach() if hasattr(result, "detach") else result)


def checked_entries(result: Any) -> list[float]:
    """All entries, or some from all over a large array."""
    flat = array_of(result).reshape(-1)
    chosen = np.linspace(0, flat.size - 1, min(flat.size, CHECKED_ENTRIES)).astype(np.int64)
    return [float(entry) for entry in flat[chosen]]


def time_steps(step: Step, seconds: float) -> float:
    """Seconds a step: the median over stretches of many steps each, after a warm-up."""
    start = time.perf_counter()
    warm_up_steps = 0
    while time.perf_counter() - start < WARM_UP_SECONDS or warm_up_steps < 3:
        array_of(step())
        warm_up_steps += 1
    stretch = range(max(1, round(STRETCH_SECONDS * warm_up_steps / (time.perf_counter() - start))))
    measured = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in stretch:
            result = step()
        array_of(result)  # waits for those who return early
        measured.append((time.perf_counter() - start) / len(stretch))
    return statistics.median(measured)


def peak_bytes() -> int:
    """The peak of this program; that of `getrusage` would count the parent's, from before it became this program."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def run(job: Job) -> Run:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.threads])
    workload = WORKLOADS[job.workload]
    step = workload.builders[job.system]()
    checked = checked_entries(step())
    first_step = time.monotonic() - job.started
    numba_imported = "numba" in sys.modules
    if not job.seconds:
        return Run(checked, first_step, numba_imported, None, peak_bytes())
    for _ in range(workload.checked_steps - 1):
        checked += checked_entries(step())
    seconds = time_steps(step, job.seconds)
    return Run(checked, first_step, numba_imported, seconds, peak_bytes())


if __name__ == "__main__":
    print(json.dumps(asdict(run(Job(**json.loads(sys.argv[1]))))))
