"""The figures as tables: plain text for the terminal, Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.compile_time import CompileTime
from benchmarks.runner import TOLERANCE, Result, Settings, StartUp
from benchmarks.worker import CHECKED_STEPS
from benchmarks.workload import OURS, SYSTEMS, Workload

MISSING = "-"


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
    """Microseconds a step of every system, and how the best peer compares with us."""
    systems = [system for system in SYSTEMS if any(system in (*r.measurements, *r.failures) for r in results)]
    rows = []
    for result in results:
        cells = [_microseconds(result.measurements[s].step) if s in result.measurements else MISSING for s in systems]
        ratio = MISSING if result.ratio is None else f"{result.ratio:.2f}"
        rows.append([result.workload.title, *cells, result.best_peer or MISSING, ratio])
    return Table(["us per step", *systems, "best peer", f"best peer / {OURS}"], rows)


def spread_table(results: Sequence[Result]) -> Table:
    """The fastest and the slowest round, in microseconds a step."""
    rows = [
        [
            result.workload.title,
            system,
            _microseconds(found.fastest),
            _microseconds(found.step),
            _microseconds(found.slowest),
        ]
        for result in results
        for system, found in result.measurements.items()
    ]
    return Table(["us per step", "system", "fastest round", "median", "slowest round"], rows)


def start_up_table(start_up: StartUp | None, result: Result | None) -> Table:
    """Seconds from process start to the end of the first step."""
    rows = []
    if start_up is not None:
        numba = "imported" if start_up.numba_imported_warm else "not imported"
        rows.append([f"{OURS}, empty cache", f"{start_up.cold:.2f}"])
        rows.append([f"{OURS}, next process (Numba {numba})", f"{start_up.warm:.2f}"])
    if result is not None:
        rows += [[s, f"{m.first_step:.2f}"] for s, m in result.measurements.items() if s not in (OURS, "jax-async")]
    return Table(["process start to first finished step", "seconds"], rows)


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


def markdown_page(
    results: Sequence[Result],
    start_up: StartUp | None,
    compile_times: Sequence[CompileTime],
    started: Workload,
    settings: Settings,
    machine: Mapping[str, str],
    load: str,
) -> str:
    """The whole page `docs/benchmarks.md`."""
    by_name = {result.workload.name: result for result in results}
    method = (
        "A step is called from Python on NumPy arrays and updates the parameters; its loss is a result. All systems "
        "start from the same parameters and data, and the run stops if the losses of their first "
        f"{CHECKED_STEPS} steps differ by more than {TOLERANCE:g} of their value. Each has {settings.threads} threads. "
        "A round measures each system once, in a new process, after a warm-up; the table has the median over the "
        "rounds of the median over many stretches of steps."
    )
    parts = [
        "# Benchmarks",
        "Written by `make bench`, which measures every system in one run on one machine. Compare ratios, not times.",
        "## Time per step",
        step_table(results).markdown(),
        "\n".join(f"- **{name}**: {text}" for name, text in SYSTEMS.items()),
        method,
        "## Spread over the rounds",
        spread_table(results).markdown(),
        "## Start-up",
        f"{started.title}: importing, building and compiling included. The others keep whatever caches they have.",
        start_up_table(start_up, by_name.get(started.name)).markdown(),
        "## Compilation",
        "Training steps of growing depth, from the graph as written to the plan; kernels come later, and are cached.",
        compile_table(compile_times).markdown(),
        "## Machine",
        Table(["", ""], [[name, value] for name, value in machine.items()]).markdown().replace("---:", "---"),
        f"Load average when the run began: {load}.",
    ]
    return "\n\n".join(parts) + "\n"


def failures_text(results: Sequence[Result]) -> str:
    """One line for every system that could not be measured."""
    return "\n".join(f"{r.workload.name}: {s} failed: {why}" for r in results for s, why in r.failures.items())


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}" if seconds < 1e-4 else f"{seconds * 1e6:.0f}"
