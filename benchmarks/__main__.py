"""Measure and report; the exit code is 1 if a system failed somewhere, or computed something else than the first."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import machine, plot, report, runner, tables
from benchmarks.compile_time import measure_all
from benchmarks.results import Figures, Result, Settings
from benchmarks.workload import OURS, SYSTEMS
from benchmarks.workloads import WORKLOADS


def choice_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    """A parser of names with commas between them."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in names]:
            raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; choose from {', '.join(names)}")
        return [name for name in names if name in chosen]

    return parse


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything runs")
    workloads, systems = list(WORKLOADS), list(SYSTEMS)
    parser.add_argument(
        "--only",
        type=choice_of(workloads),
        default=workloads,
        metavar="WORKLOADS",
        help=f"these alone, with commas between them: {', '.join(workloads)}",
    )
    parser.add_argument(
        "--systems",
        type=choice_of(systems),
        default=systems,
        metavar="SYSTEMS",
        help=f"these alone, with commas between them: {', '.join(systems)}",
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each with a new process for every system")
    parser.add_argument("--turns", type=int, default=12, help="how often each process is timed")
    parser.add_argument("--seconds", type=float, default=0.06, help="of each turn")
    parser.add_argument("--threads", type=int, default=2, help="threads, and processors, of each system")
    parser.add_argument(
        "--output", type=Path, help="write the page to this file, and figures (.json) and plot (.svg) beside it"
    )
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="JSON", help="measure nothing: report the figures in this file"
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.turns = 1, 2
    return options


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> Figures:
    """Measure what the options name.

    Raises:
        WorkerError: the machine's limits could not be measured.
    """
    settings = Settings(options.rounds, options.turns, options.seconds, options.threads)
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    results: list[Result] = []
    for name in options.only:
        systems = [system for system in options.systems if system in WORKLOADS[name].builders]
        results.append(runner.measure(WORKLOADS[name], systems, settings, say))
    return Figures(
        results=results,
        compile_times=measure_all() if OURS in options.systems and options.only == list(WORKLOADS) else [],
        settings=settings,
        machine=machine.describe(),
        load=load,
    )


def show(figures: Figures) -> None:
    """Print the tables."""
    results = figures.results
    for table in (
        report.summary_table(figures),
        tables.step_table(results),
        tables.start_up_table(results),
        tables.memory_table(results),
        tables.compile_table(figures.compile_times),
    ):
        if table.rows:
            print(table.text(), end="\n\n")
    print("\n".join(f"{name}: {value}" for name, value in figures.machine.items()))
    print(f"load average at the start: {figures.load}")


def write(figures: Figures, page: Path) -> None:
    """Write the page, and figures and plot beside it."""
    page.parent.mkdir(parents=True, exist_ok=True)
    picture = page.with_suffix(".svg")
    figures.save(page.with_suffix(".json"))
    plot.draw(figures.results, picture)
    page.write_text(report.markdown_page(figures, page.stem), encoding="utf-8")
    say(f"wrote {page}, {picture} and {page.with_suffix('.json')}")


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    start = time.perf_counter()
    figures = Figures.load_from(options.source) if options.source else measure(options)
    show(figures)
    if options.output is not None:
        write(figures, options.output)
    failures = report.failures(figures.results)
    for line in failures:
        say(line)
    say(f"{(time.perf_counter() - start) / 60:.1f} minutes")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
