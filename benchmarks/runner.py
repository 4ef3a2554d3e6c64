"""Measures the systems side by side, each in a process of its own, and checks that they agree."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.process import Process, WorkerError
from benchmarks.results import Measurement, Result, Settings
from benchmarks.worker import Job, Start, Turn
from benchmarks.workload import CACHING, OURS, Workload


class DisagreementError(WorkerError):
    """Two systems computed different things from the same start."""


def measure(workload: Workload, systems: Sequence[str], settings: Settings, say: Callable[[str], None]) -> Result:
    """Measure the systems on a workload, in rounds.

    A round starts a process for each system, one after the other, and lets them take turns at being timed while the
    others sleep, so that whatever else happens on the machine happens to all. Before each turn of ours the machine is
    measured, if it bounds the workload.

    A round begins with an empty cache for us: one process fills it up to the end of its first step, the next one finds
    it. The other systems keep theirs from the first round on, because some take a minute to fill it. A system that
    fails, takes too long, or disagrees with the first one has no figures, but its reason.

    Raises:
        WorkerError: the machine could not be measured.
    """
    comparison = _Comparison(workload, settings, say)
    with tempfile.TemporaryDirectory(prefix="graphc-bench-") as folder:
        for number in range(settings.rounds):
            say(f"{workload.name}: round {number + 1} of {settings.rounds}")
            caches = {system: Path(folder) / (f"{system}-{number}" if system == OURS else system) for system in systems}
            comparison.round(caches)
    return comparison.result()


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


@dataclass
class _Found:
    """What is known of one system so far."""

    warm: list[Start] = field(default_factory=list)
    cold: list[Start] = field(default_factory=list)
    """Those that found an empty cache."""
    turns: list[list[Turn]] = field(default_factory=list)
    """By round."""


class _Comparison:
    """The systems on one workload."""

    def __init__(self, workload: Workload, settings: Settings, say: Callable[[str], None]) -> None:
        self._workload = workload
        self._settings = settings
        self._say = say
        self._found: dict[str, _Found] = {}
        self._failures: dict[str, str] = {}
        self._limits: list[float] = []
        self._running: dict[str, Process] = {}

    def round(self, caches: Mapping[str, Path]) -> None:
        """Start the systems that have not failed, with these caches, and time them in turns."""
        with ExitStack() as processes:
            processes.callback(self._running.clear)
            checked: dict[str, list[float]] = {}
            for system, cache in caches.items():
                if system not in self._failures:
                    with self._attempt(system):
                        checked[system] = self._start(system, cache, processes)
                        check_agreement(self._workload.tolerance, {each: checked[each] for each in self._running})
            limit = self._start_limit(caches[OURS], processes) if OURS in self._running else None
            for _ in range(self._settings.turns):
                for system, process in list(self._running.items()):
                    if system == OURS and limit is not None:
                        self._limits.append(limit.ask("turn", self._settings.seconds))
                    with self._attempt(system):
                        turn = Turn(**process.ask("turn", self._settings.seconds))
                        self._found[system].turns[-1].append(turn)

    def result(self) -> Result:
        """What the rounds have shown."""
        return Result(
            self._workload,
            {system: _measurement(found) for system, found in self._found.items()},
            self._failures,
            self._limits if OURS in self._found else [],
        )

    def _start(self, system: str, cache: Path, processes: ExitStack) -> list[float]:
        """Add a process to those that take turns; returns its results that are to be checked."""
        filled = cache.exists()
        cache.mkdir(exist_ok=True)
        found = self._found.setdefault(system, _Found())
        if system == OURS:
            with self._launch(system, cache) as process:
                found.cold.append(Start(**process.ask("start")))
            filled = True
        process = self._running[system] = processes.enter_context(self._launch(system, cache))
        start = Start(**process.ask("start"))
        (found.warm if filled or system not in CACHING else found.cold).append(start)
        found.turns.append([])
        return [*start.checked, *process.ask("warm_up")]

    def _launch(self, system: str, cache: Path) -> Process:
        threads = self._settings.threads
        job = Job(self._workload.name, system, time.monotonic(), threads)
        return Process("benchmarks.worker", [json.dumps(asdict(job))], threads, cache)

    def _start_limit(self, cache: Path, processes: ExitStack) -> Process | None:
        """The process that measures the machine, if it bounds the workload."""
        if self._workload.limit is None:
            return None
        process = processes.enter_context(Process("benchmarks.limits", [], self._settings.threads, cache))
        process.ask("start", self._workload.limit.resource, self._settings.threads)
        return process

    @contextmanager
    def _attempt(self, system: str) -> Iterator[None]:
        """What fails in here ends the system, and nothing else."""
        try:
            yield
        except WorkerError as error:
            self._say(f"{self._workload.name}: {system} failed: {error}")
            self._failures[system] = str(error)
            self._found.pop(system, None)
            if process := self._running.pop(system, None):
                process.end()


def _measurement(found: _Found) -> Measurement:
    return Measurement(
        steps=[turn.step for turns in found.turns for turn in turns],
        first_steps=[start.seconds for start in found.warm],
        cold_first_steps=[start.seconds for start in found.cold],
        peak_bytes=[max(turn.peak_bytes for turn in turns) for turns in found.turns],
        numba_imported=any(start.numba_imported for start in found.warm),
    )
