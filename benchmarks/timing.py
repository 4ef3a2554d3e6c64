"""How steps are timed: in stretches, after a warm-up."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import Step

WARM_UP_SECONDS = 0.5
TURN_WARM_UP_SECONDS = 0.02
STRETCH_SECONDS = 0.01


def array_of(result: Any) -> NDArray[Any]:
    """A step's result, when it is there."""
    return np.asarray(result.detach() if hasattr(result, "detach") else result)


class Timer:
    """Times a step, which has been run often enough to be warm."""

    def __init__(self, step: Step) -> None:
        self._step = step
        start = time.perf_counter()
        steps = self._run_for(WARM_UP_SECONDS, at_least=3)
        self._stretch = range(max(1, round(STRETCH_SECONDS * steps / (time.perf_counter() - start))))

    def turn(self, seconds: float) -> float:
        """Seconds a step: the median over stretches of steps, after some that refill the caches."""
        self._run_for(TURN_WARM_UP_SECONDS, at_least=1)
        measured: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(measured) < 2:
            start = time.perf_counter()
            for _ in self._stretch:
                result = self._step()
            array_of(result)  # waits for those who return early
            measured.append((time.perf_counter() - start) / len(self._stretch))
        return statistics.median(measured)

    def _run_for(self, seconds: float, at_least: int) -> int:
        end = time.perf_counter() + seconds
        steps = 0
        while time.perf_counter() < end or steps < at_least:
            array_of(self._step())
            steps += 1
        return steps
