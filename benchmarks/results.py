"""The figures: what was measured, and what follows from it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.compile_time import CompileTime
from benchmarks.workload import OURS, Workload
from benchmarks.workloads import WORKLOADS


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    rounds: int
    """Each with new processes."""
    turns: int
    """Of each process."""
    seconds: float
    """Of each turn."""
    threads: int
    """What each system may use; processors too."""


@dataclass(frozen=True)
class Measurement:
    """One system on one workload; times in seconds."""

    steps: Sequence[float]
    """One figure a turn; the others have one a round."""
    first_steps: Sequence[float]
    """From the start of the process to the end of the first step, with the caches that earlier processes filled."""
    cold_first_steps: Sequence[float]
    """The same with empty caches, of systems that have some."""
    peak_bytes: Sequence[int]
    """The most memory that a timed process has held."""
    numba_imported: bool
    """Whether a first step with filled caches needed Numba."""

    @property
    def step(self) -> float:
        return statistics.median(self.steps)

    @property
    def warm(self) -> float | None:
        return statistics.median(self.first_steps) if self.first_steps else None

    @property
    def cold(self) -> float | None:
        return statistics.median(self.cold_first_steps) if self.cold_first_steps else None

    @property
    def memory(self) -> float:
        return statistics.median(self.peak_bytes)


@dataclass(frozen=True)
class Result:
    """All systems on one workload. A system is in one of the two mappings, or the workload has no builder for it."""

    workload: Workload
    measurements: Mapping[str, Measurement]
    failures: Mapping[str, str]
    limits: Sequence[float]
    """What the machine did in a second of what bounds the workload, just before each of our turns."""

    @property
    def ours(self) -> Measurement | None:
        return self.measurements.get(OURS)

    @property
    def peers(self) -> dict[str, Measurement]:
        return {system: found for system, found in self.measurements.items() if system != OURS}

    @property
    def best_peer(self) -> str | None:
        """The fastest of the other systems."""
        peers = self.peers
        return min(peers, key=lambda system: peers[system].step, default=None)

    @property
    def ratio(self) -> float | None:
        """Step time of the best peer over ours."""
        if self.best_peer is None or self.ours is None:
            return None
        return self.peers[self.best_peer].step / self.ours.step

    @property
    def leanest_peer(self) -> str | None:
        """The other system that held the least memory."""
        peers = self.peers
        return min(peers, key=lambda system: peers[system].memory, default=None)

    @property
    def memory_ratio(self) -> float | None:
        """Our peak memory over that of the leanest peer."""
        if self.leanest_peer is None or self.ours is None:
            return None
        return self.ours.memory / self.peers[self.leanest_peer].memory

    @property
    def warm_start_ratio(self) -> float | None:
        """JAX's time to the first step over ours with a filled cache."""
        jax = self.measurements.get("jax")
        if jax is None or jax.warm is None or self.ours is None or self.ours.warm is None:
            return None
        return jax.warm / self.ours.warm

    @property
    def cold_start_ratio(self) -> float | None:
        """Our time to the first step with an empty cache over JAX's, which keeps none."""
        jax = self.measurements.get("jax")
        if jax is None or jax.warm is None or self.ours is None or self.ours.cold is None:
            return None
        return self.ours.cold / jax.warm

    @property
    def limit(self) -> float | None:
        """What the machine did in a second."""
        return statistics.median(self.limits) if self.limits else None

    @property
    def share(self) -> float | None:
        """How much our steps did of what the machine did just before, in the median."""
        if self.workload.limit is None or self.ours is None:
            return None
        amount = self.workload.limit.amount
        return statistics.median(
            amount / step / limit for step, limit in zip(self.ours.steps, self.limits, strict=True)
        )


@dataclass(frozen=True)
class Figures:
    """Everything that a run has measured."""

    results: Sequence[Result]
    compile_times: Sequence[CompileTime]
    settings: Settings
    machine: Mapping[str, str]
    load: str
    """Average load when the run began."""

    def save(self, path: Path) -> None:
        """Write everything to a file of JSON."""
        content = {
            "settings": asdict(self.settings),
            "machine": dict(self.machine),
            "load": self.load,
            "compile_times": [asdict(times) for times in self.compile_times],
            "workloads": {
                result.workload.name: {
                    "measurements": {system: asdict(found) for system, found in result.measurements.items()},
                    "failures": dict(result.failures),
                    "limits": list(result.limits),
                }
                for result in self.results
            },
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load_from(cls, path: Path) -> Figures:
        """Read what `save` wrote; workloads that exist no longer are left out."""
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            results=[
                Result(
                    WORKLOADS[name],
                    {system: Measurement(**found) for system, found in entry["measurements"].items()},
                    entry["failures"],
                    entry["limits"],
                )
                for name, entry in content["workloads"].items()
                if name in WORKLOADS
            ],
            compile_times=[CompileTime(**times) for times in content["compile_times"]],
            settings=Settings(**content["settings"]),
            machine=content["machine"],
            load=content["load"],
        )
