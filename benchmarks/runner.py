"""Runs workers in interleaved rounds, each in a process of its own, and checks that the systems agree."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.worker import Job, Run
from benchmarks.workload import OURS, Workload

TOLERANCE = 1e-4
TIMEOUT_SECONDS = 900


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    rounds: int
    seconds: float
    """Timed seconds of each process."""
    threads: int
    """What each system may use; processors too, where a process can be bound to some."""


class WorkerError(Exception):
    """A system could not be measured; the message is the error that ended its process."""


class DisagreementError(Exception):
    """Two systems computed different losses from the same start."""


@dataclass(frozen=True)
class Measurement:
    """One system on one workload, over all rounds; times in seconds."""

    step: float
    slowest: float
    fastest: float
    first_step: float


@dataclass(frozen=True)
class Result:
    """All systems on one workload. A system is in one of the two mappings."""

    workload: Workload
    measurements: Mapping[str, Measurement]
    failures: Mapping[str, str]

    @property
    def best_peer(self) -> str | None:
        """The fastest of the other systems."""
        peers = [system for system in self.measurements if system != OURS]
        return min(peers, key=lambda system: self.measurements[system].step, default=None)

    @property
    def ratio(self) -> float | None:
        """Step time of the best peer over ours."""
        if self.best_peer is None or OURS not in self.measurements:
            return None
        return self.measurements[self.best_peer].step / self.measurements[OURS].step


@dataclass(frozen=True)
class StartUp:
    """Seconds from process start to the end of the first step, medians."""

    cold: float
    """With an empty kernel cache."""
    warm: float
    """In the next process."""
    numba_imported_warm: bool


def launch(workload: str, system: str, seconds: float, threads: int, cache: Path) -> Run:
    """Run one worker to its end.

    Raises:
        WorkerError: the worker failed or took longer than 15 minutes.
    """
    environment = {
        **os.environ,
        "GRAPHC_CACHE_DIR": str(cache),
        "GRAPHC_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "NUMBA_NUM_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
    }
    job = Job(workload, system, seconds, time.monotonic(), threads)
    command = [sys.executable, "-m", "benchmarks.worker", json.dumps(asdict(job))]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"not finished after {TIMEOUT_SECONDS} s") from error
    if done.returncode != 0:
        flush_left = [line for line in done.stderr.splitlines() if line.strip() and not line[0].isspace()]
        raise WorkerError(flush_left[-1] if flush_left else f"exit code {done.returncode}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def check_agreement(losses: Mapping[str, Sequence[float]]) -> None:
    """Compare the losses of every system's first steps with those of the first system.

    Raises:
        DisagreementError: a loss differs by more than one part in ten thousand.
    """
    reference, *others = losses
    for other in others:
        for step, (expected, found) in enumerate(zip(losses[reference], losses[other], strict=True)):
            if not abs(found - expected) <= TOLERANCE * abs(expected):
                raise DisagreementError(
                    f"after {step} updates the loss is {expected:.7g} in {reference} but {found:.7g} in {other}; "
                    f"their steps must compute the same thing to be compared"
                )


def measure(
    workload: Workload, systems: Sequence[str], settings: Settings, cache: Path, say: Callable[[str], None]
) -> Result:
    """Measure the systems on a workload; a round measures each of them once, one after the other.

    Raises:
        DisagreementError: the systems do not compute the same losses.
    """
    runs: dict[str, list[Run]] = {}
    failures: dict[str, str] = {}
    for number in range(settings.rounds):
        for system in systems:
            if system in failures:
                continue
            say(f"{workload.name}: round {number + 1} of {settings.rounds}, {system}")
            try:
                run = launch(workload.name, system, settings.seconds, settings.threads, cache)
                runs.setdefault(system, []).append(run)
            except WorkerError as error:
                failures[system] = str(error)
                runs.pop(system, None)
    check_agreement({system: done[0].losses for system, done in runs.items()})
    return Result(workload, {system: _summary(done) for system, done in runs.items()}, failures)


def measure_start_up(workload: Workload, settings: Settings, say: Callable[[str], None]) -> StartUp:
    """Measure our first step in a new process, with an empty cache and then with the cache that it left.

    Raises:
        WorkerError: a worker failed.
    """
    cold: list[Run] = []
    warm: list[Run] = []
    for number in range(settings.rounds):
        say(f"{workload.name}: start-up {number + 1} of {settings.rounds}")
        with tempfile.TemporaryDirectory(prefix="graphc-bench-") as cache:
            for runs in (cold, warm):
                runs.append(launch(workload.name, OURS, 0.0, settings.threads, Path(cache)))
    return StartUp(
        cold=statistics.median(run.first_step for run in cold),
        warm=statistics.median(run.first_step for run in warm),
        numba_imported_warm=any(run.numba_imported for run in warm),
    )


def _summary(runs: Sequence[Run]) -> Measurement:
    steps = [run.step for run in runs if run.step is not None]
    return Measurement(
        step=statistics.median(steps),
        slowest=max(steps),
        fastest=min(steps),
        first_step=statistics.median(run.first_step for run in runs),
    )
