"""The process that measures what bounds a step: `python -m benchmarks.limits`."""

from __future__ import annotations

import os

from benchmarks.channel import serve
from benchmarks.timing import Timer
from benchmarks.workload import Resource


class LimitWorker:
    """What the parent asks for: `start`, then `turn` as often as it likes."""

    def start(self, resource: Resource, threads: int) -> None:
        """Make our kernel of multiplications and additions, or that of a sum of two arrays that no cache holds."""
        from graphc.runtime.profiling.machine_limits import peak_load, stream_load

        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        self._load = peak_load("f32", threads) if resource == "flops" else stream_load(threads)
        self._timer = Timer(self._load.run)

    def turn(self, seconds: float) -> float:
        """What the machine does in a second of these moments: operations, or bytes read and written."""
        return self._load.amount / self._timer.turn(seconds)


if __name__ == "__main__":
    serve(LimitWorker())
