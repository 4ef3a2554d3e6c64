"""Runs workers in interleaved rounds, each in a process of its own, and checks that the systems agree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import Limits
from benchmarks.results import Measurement, Result, Settings
from benchmarks.worker import Job, Run
from benchmarks.workload import CACHING, OURS, Workload

TIMEOUT_SECONDS = 300


class WorkerError(Exception):
    """A system could not be measured; the message is the error that ended its process."""


class DisagreementError(WorkerError):
    """Two systems computed different things from the same start."""


@dataclass
class _Runs:
    """The processes of one system so far."""

    warm: list[Run] = field(default_factory=list)
    cold: list[Run] = field(default_factory=list)
    """Those that found an empty cache."""
    timed: list[Run] = field(default_factory=list)


def measure(workload: Workload, systems: Sequence[str], settings: Settings, say: Callable[[str], None]) -> Result:
    """Measure the systems on a workload; a round measures each of them once, one after the other.

    A round begins with an empty cache for us: one process fills it up to the end of its first step, the next one finds
    it and is timed. The other systems keep theirs from the first round on, because some take a minute to fill it. A
    system that fails, takes too long, or disagrees with the first one has no figures, but its reason.
    """
    found: dict[str, _Runs] = {}
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="graphc-bench-") as folder:
        for number in range(settings.rounds):
            for system in [system for system in systems if system not in failures]:
                say(f"{workload.name}: round {number + 1} of {settings.rounds}, {system}")
                cache = Path(folder) / (f"{system}-{number}" if system == OURS else system)
                runs = found.setdefault(system, _Runs())
                try:
                    _measure_once(workload, system, settings, cache, runs)
                    check_agreement(
                        workload.tolerance, {name: runs.timed[-1].checked for name, runs in found.items() if runs.timed}
                    )
                except WorkerError as error:
                    say(f"{workload.name}: {system} failed: {error}")
                    failures[system] = str(error)
                    del found[system]
    return Result(workload, {system: _measurement(runs) for system, runs in found.items()}, failures)


def measure_limits(threads: int) -> Limits:
    """What the machine can do, measured in a process of its own.

    Raises:
        WorkerError: the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="graphc-bench-") as cache:
        return Limits(**_run_module("benchmarks.machine", [], threads, Path(cache)))


def check_agreement(tolerance: float, checked: Mapping[str, Sequence[float]]) -> None:
    """Compare what every system computed with what the first one did.

    Raises:
        DisagreementError: a figure differs by more than the tolerance, as a share of the largest one.
    """
    reference, *others = checked
    largest = max(map(abs, checked[reference]))
    for other in others:
        for number, (expected, found) in enumerate(zip(checked[reference], checked[other], strict=True)):
            if not abs(found - expected) <= tolerance * largest:
                raise DisagreementError(
                    f"result {number} is {expected:.7g} in {reference} but {found:.7g} in {other}; "
                    f"their steps must compute the same thing to be compared"
                )


def _measure_once(workload: Workload, system: str, settings: Settings, cache: Path, runs: _Runs) -> None:
    """One round of one system."""
    filled = cache.exists()
    cache.mkdir(exist_ok=True)
    if system == OURS:
        runs.cold.append(_launch(workload, system, 0.0, settings.threads, cache))
        filled = True
    run = _launch(workload, system, settings.seconds, settings.threads, cache)
    runs.timed.append(run)
    (runs.warm if filled or system not in CACHING else runs.cold).append(run)


def _launch(workload: Workload, system: str, seconds: float, threads: int, cache: Path) -> Run:
    job = Job(workload.name, system, seconds, time.monotonic(), threads)
    return Run(**_run_module("benchmarks.worker", [json.dumps(asdict(job))], threads, cache))


def _run_module(module: str, arguments: Sequence[str], threads: int, cache: Path) -> dict[str, Any]:
    """Run a module in a new process and read the JSON that it prints last.

    Raises:
        WorkerError: the process failed or took too long.
    """
    environment = {
        **os.environ,
        "GRAPHC_CACHE_DIR": str(cache),
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
        "PYTENSOR_FLAGS": f"base_compiledir={cache}",
        "GRAPHC_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "NUMBA_NUM_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
    }
    # Installed packages have their bytecode; those of a checkout get theirs in the first process.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", module, *arguments]
    # Files and a session, because compilers leave processes behind that would hold a pipe open and outlive the worker.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=errors, start_new_session=True)
        try:
            code = process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise WorkerError(f"not finished after {TIMEOUT_SECONDS} s") from error
        finally:
            _end_session(process)
        output.seek(0)
        errors.seek(0)
        if code != 0:
            raise WorkerError(_last_error(errors.read()) or f"exit code {code}")
        found: dict[str, Any] = json.loads(output.read().splitlines()[-1])
        return found


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _last_error(text: str) -> str:
    """The last line of a traceback that is not indented."""
    flush_left = [line for line in text.splitlines() if line.strip() and not line[0].isspace()]
    return flush_left[-1] if flush_left else ""


def _measurement(runs: _Runs) -> Measurement:
    return Measurement(
        steps=[run.step for run in runs.timed if run.step is not None],
        first_steps=[run.first_step for run in runs.warm],
        cold_first_steps=[run.first_step for run in runs.cold],
        peak_bytes=[run.peak_bytes for run in runs.warm or runs.timed],
        numba_imported=any(run.numba_imported for run in runs.warm),
    )
