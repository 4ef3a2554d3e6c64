"""Measure and report: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine, report
from benchmarks.compile_time import measure_all
from benchmarks.runner import DisagreementError, Result, Settings, StartUp, WorkerError, measure, measure_start_up
from benchmarks.workload import ON_REQUEST, OURS, SYSTEMS
from benchmarks.workloads import WORKLOADS

START_UP_WORKLOAD = "mlp-784-256-128-10"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything runs")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), help="these workloads alone")
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=SYSTEMS,
        default=[system for system in SYSTEMS if system not in ON_REQUEST],
        help=f"these systems alone; {', '.join(sorted(ON_REQUEST))} runs only when named here",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds, each with a new process for every system")
    parser.add_argument("--seconds", type=float, default=2.0, help="timed seconds of each process")
    parser.add_argument("--threads", type=int, default=2, help="threads, and processors, of each system")
    parser.add_argument("--output", type=Path, help="write the report in Markdown to this file")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 0.3
    return options


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    settings = Settings(options.rounds, options.seconds, options.threads)
    load = " ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    results: list[Result] = []
    start_up: StartUp | None = None
    start_up_failure = ""
    with tempfile.TemporaryDirectory(prefix="graphc-bench-") as cache:
        for name in options.only:
            systems = [system for system in options.systems if system in WORKLOADS[name].builders]
            try:
                results.append(measure(WORKLOADS[name], systems, settings, Path(cache), say))
            except DisagreementError as error:
                say(f"{name}: {error}")
                return 1
    if OURS in options.systems and START_UP_WORKLOAD in options.only:
        try:
            start_up = measure_start_up(WORKLOADS[START_UP_WORKLOAD], settings, say)
        except WorkerError as error:
            start_up_failure = f"start-up: {error}"
    print(report.step_table(results).text(), end="\n\n")
    started = next((result for result in results if result.workload.name == START_UP_WORKLOAD), None)
    if started is not None:
        print(report.start_up_table(start_up, started).text(), end="\n\n")
    times = measure_all() if OURS in options.systems else []
    print(report.compile_table(times).text(), end="\n\n")
    description = machine.describe()
    print("\n".join(f"{name}: {value}" for name, value in description.items()))
    print(f"load average at the start: {load}")
    if options.output is not None:
        page = report.markdown_page(results, start_up, times, WORKLOADS[START_UP_WORKLOAD], settings, description, load)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(page, encoding="utf-8")
        say(f"wrote {options.output}")
    failures = "\n".join(filter(None, [report.failures_text(results), start_up_failure]))
    if failures:
        say(failures)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
