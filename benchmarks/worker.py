"""The process that measures one system on one workload: `python -m benchmarks.worker JOB`, a job in JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.channel import serve
from benchmarks.timing import Timer, array_of
from benchmarks.workloads import WORKLOADS

CHECKED_ENTRIES = 64


@dataclass(frozen=True)
class Job:
    """What to measure."""

    workload: str
    system: str
    started: float
    """`time.monotonic()` in the parent, just before it started this process."""
    threads: int


@dataclass(frozen=True)
class Start:
    """The first step."""

    seconds: float
    """From the start of the process to the end of the step."""
    checked: list[float]
    """Its loss, or entries of its output."""
    numba_imported: bool
    """Whether it needed Numba."""


@dataclass(frozen=True)
class Turn:
    """Some of the steps that are timed."""

    step: float
    """Seconds a step."""
    peak_bytes: int
    """The most memory that the process has held so far."""


def checked_entries(result: Any) -> list[float]:
    """All entries, or some from all over a large array."""
    flat = array_of(result).reshape(-1)
    chosen = np.linspace(0, flat.size - 1, min(flat.size, CHECKED_ENTRIES)).astype(np.int64)
    return [float(entry) for entry in flat[chosen]]


def peak_bytes() -> int:
    """The peak of this program; that of `getrusage` would count the parent's, from before it became this program."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class Worker:
    """What the parent asks for, in this order: `start`, `warm_up`, and `turn` as often as it likes."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._workload = WORKLOADS[job.workload]

    def start(self) -> dict[str, Any]:
        """Build, compile and run the first step."""
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: self._job.threads])
        self._step = self._workload.builders[self._job.system]()
        checked = checked_entries(self._step())
        return asdict(Start(time.monotonic() - self._job.started, checked, "numba" in sys.modules))

    def warm_up(self) -> list[float]:
        """The entries to be checked of the next steps; then steps until they are warm."""
        checked = [entry for _ in range(self._workload.checked_steps - 1) for entry in checked_entries(self._step())]
        self._timer = Timer(self._step)
        return checked

    def turn(self, seconds: float) -> dict[str, Any]:
        """Time steps for so many seconds."""
        return asdict(Turn(self._timer.turn(seconds), peak_bytes()))


if __name__ == "__main__":
    serve(Worker(Job(**json.loads(sys.argv[1]))))
