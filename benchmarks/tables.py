"""The figures as tables: plain text for the terminal, Markdown for the documentation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.compile_time import CompileTime
from benchmarks.results import Measurement, Result
from benchmarks.workload import OURS, SYSTEMS

MISSING = "-"
FAILED = "failed"


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column is flush left, the others flush right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Columns in step, without lines."""
        widths = [max(len(row[i]) for row in (self.header, *self.rows)) for i in range(len(self.header))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in (self.header, *self.rows)
        )

    def markdown(self) -> str:
        """A table of GitHub's Markdown."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.header, rule, *self.rows))


def step_table(results: Sequence[Result]) -> Table:
    """Time of a step in every system, how the best peer compares with us, and how near to the limit we are."""
    systems = _systems(results)
    rows = []
    for result in results:
        times = [_cell(result, system, lambda found: duration(found.step)) for system in systems]
        rows.append([result.workload.title, *times, result.best_peer or MISSING, _number(result.ratio), _share(result)])
    return Table(["time per step", *systems, "best peer", f"best peer / {OURS}", f"{OURS} of the limit"], rows)


def start_up_table(results: Sequence[Result]) -> Table:
    """Seconds from process start to the end of the first step; two figures for systems that keep caches."""
    peers = [system for system in _systems(results) if system not in (OURS, "jax-async")]
    rows = []
    for result in results:
        cells = [
            _cell(result, OURS, lambda found: _number(found.cold)),
            _cell(result, OURS, lambda found: _number(found.warm)),
            *(_cell(result, system, _start_up) for system in peers),
        ]
        rows.append(
            [result.workload.title, *cells, _number(result.warm_start_ratio, 1), _number(result.cold_start_ratio)]
        )
    header = [
        "seconds to the first step",
        f"{OURS}, empty cache",
        f"{OURS}, filled cache",
        *peers,
        f"jax / {OURS}, filled",
        f"{OURS}, empty / jax",
    ]
    return Table(header, rows)


def memory_table(results: Sequence[Result]) -> Table:
    """Peak resident memory of the measured processes, in MiB."""
    systems = _systems(results)
    rows = [
        [
            result.workload.title,
            *(_cell(result, system, lambda found: f"{found.memory / 2**20:.0f}") for system in systems),
            result.leanest_peer or MISSING,
            _number(result.memory_ratio),
        ]
        for result in results
    ]
    return Table(["MiB", *systems, "leanest peer", f"{OURS} / leanest peer"], rows)


def limit_table(results: Sequence[Result]) -> Table:
    """What bounds each workload, how much of it a step needs, what the machine has, and how that was counted."""
    rows = []
    for result in results:
        limit = result.workload.limit
        if limit is None:
            rows.append([result.workload.title, MISSING, MISSING, MISSING, "neither bounds it"])
            continue
        unit = "FLOP" if limit.resource == "flops" else "B"
        rate = MISSING if result.limit is None else f"{result.limit / 1e9:.1f} G{unit}/s"
        rows.append([result.workload.title, f"{limit.amount / 1e6:,.1f} M{unit}", rate, _share(result), limit.counted])
    return Table(["a step needs at least", "", "the machine", f"{OURS} of the limit", "counted"], rows)


def spread_table(results: Sequence[Result]) -> Table:
    """The middle half of the turns, and the fastest."""
    rows = [
        [
            result.workload.title,
            system,
            *map(duration, (min(found.steps), *quartiles(found.steps))),
        ]
        for result in results
        for system, found in result.measurements.items()
    ]
    return Table(["time per step", "system", "fastest turn", "lower quartile", "median", "upper quartile"], rows)


def compile_table(times: Sequence[CompileTime]) -> Table:
    """Seconds that the compiler takes, kernels aside."""
    head = ["nodes", "passes and verification", "assembly", "plan", "total seconds", "us per node"]
    return Table(
        head,
        [
            [
                f"{t.nodes:,}",
                *(f"{part:.2f}" for part in (t.passes, t.assembly, t.plan, t.total)),
                f"{t.total / t.nodes * 1e6:.0f}",
            ]
            for t in times
        ],
    )


def quartiles(values: Sequence[float]) -> list[float]:
    """The lower quartile, the median and the upper quartile."""
    return statistics.quantiles(values, method="inclusive") if len(values) > 1 else [*values] * 3


def duration(seconds: float) -> str:
    """Three digits in the unit that fits."""
    value, unit = (
        (seconds, "s") if seconds >= 1 else (seconds * 1e3, "ms") if seconds >= 1e-3 else (seconds * 1e6, "us")
    )
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f} {unit}"


def _systems(results: Iterable[Result]) -> list[str]:
    """Those that were measured, or tried, anywhere."""
    tried = {system for result in results for system in (*result.measurements, *result.failures)}
    return [system for system in SYSTEMS if system in tried]


def _cell(result: Result, system: str, text: Callable[[Measurement], str]) -> str:
    if system in result.failures:
        return FAILED
    found = result.measurements.get(system)
    if found is not None:
        return text(found)
    return MISSING if system in result.workload.builders else "not expressed"


def _start_up(found: Measurement) -> str:
    """With empty caches, if the system has some, and with filled ones."""
    return " / ".join(_number(seconds) for seconds in (found.cold, found.warm) if seconds is not None) or MISSING


def _share(result: Result) -> str:
    return MISSING if result.share is None else f"{result.share:.0%}"


def _number(value: float | None, decimals: int = 2) -> str:
    return MISSING if value is None else f"{value:.{decimals}f}"
