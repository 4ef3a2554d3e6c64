"""The page of the documentation, and the facts at its top."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks import timing
from benchmarks.process import TIMEOUT_SECONDS
from benchmarks.results import Figures, Result
from benchmarks.tables import (
    Table,
    compile_table,
    limit_table,
    memory_table,
    spread_table,
    start_up_table,
    step_table,
)
from benchmarks.workload import OURS, SYSTEMS

INTRODUCTION = (
    "Written by `make bench`, which measures every system in one run on one machine. Compare ratios, not times."
)
START_UP = (
    "From the start of a process to the end of its first step: importing, building, compiling and the step. JAX runs "
    "without its persistent cache. Where there are two figures, the first is with empty caches."
)
LIMITS = (
    "Float32 operations in a second by a kernel of fused multiplications and additions on registers, or bytes by a sum "
    f"of two arrays that no cache holds, with all threads: timed as a step is, just before each turn of {OURS}. The "
    "table has the medians, and that of the share in each turn. A multiplication and an addition are two operations. "
    "Operations on single elements are not counted, nor is any work that a system does beyond what is needed. Where a "
    "workload's data fit into the last cache, its share of the bandwidth can be more than all of it."
)
MEMORY = (
    "Peak resident memory of the timed processes, which have built, compiled and run the step, libraries included; for "
    f"{OURS}, those with a filled cache."
)


def summary_table(figures: Figures) -> Table:
    """The facts in short: means and worst cases, each with the workload that it comes from."""
    results = figures.results
    training = [result for result in results if result.workload.kind == "training"]
    rows = []
    ratios = [result.ratio for result in training if result.ratio is not None]
    if ratios:
        rows.append(
            [
                f"best peer / {OURS}, geometric mean over {len(ratios)} training workloads",
                f"{statistics.geometric_mean(ratios):.2f}",
                "",
            ]
        )

    def fact(
        text: str,
        among: Sequence[Result],
        value: Callable[[Result], float | None],
        worst: Callable[[Sequence[tuple[float, str]]], tuple[float, str]],
        form: str,
    ) -> None:
        found = [(number, result.workload.title) for result in among if (number := value(result)) is not None]
        if found:
            number, title = worst(found)
            rows.append([text, format(number, form), title])

    fact(f"best peer / {OURS}, smallest of them", training, lambda r: r.ratio, min, ".2f")
    fact(f"best peer / {OURS}, smallest of all workloads", results, lambda r: r.ratio, min, ".2f")
    for resource, words in (("flops", "peak of multiply-adds"), ("bytes", "memory bandwidth")):
        bound = [r for r in results if r.workload.limit is not None and r.workload.limit.resource == resource]
        fact(f"{OURS}'s share of the {words}, smallest", bound, lambda r: r.share, min, ".0%")
        fact(f"{OURS}'s share of the {words}, largest", bound, lambda r: r.share, max, ".0%")
    fact(f"first step, jax / {OURS} with a filled cache, smallest", results, lambda r: r.warm_start_ratio, min, ".1f")
    fact(f"first step, {OURS} with an empty cache / jax, largest", results, lambda r: r.cold_start_ratio, max, ".2f")
    fact(f"peak memory, {OURS} / leanest peer, largest", results, lambda r: r.memory_ratio, max, ".2f")
    return Table(["in short", "", "workload"], rows)


def markdown_page(figures: Figures, name: str) -> str:
    """The whole page `docs/benchmarks.md`; `name` is that of figures and plot beside it, without suffix."""
    results = figures.results
    parts = [
        "# Benchmarks",
        f"{INTRODUCTION} All figures: [{name}.json]({name}.json).",
        summary_table(figures).markdown(),
        f"![Time per step over that of {OURS}]({name}.svg)",
        "## Time per step",
        step_table(results).markdown(),
        "\n".join(f"- **{name}**: {text}" for name, text in SYSTEMS.items()),
        _method(figures),
        *_failures(results),
        "## The machine's limits",
        LIMITS,
        limit_table(results).markdown(),
        "## Start-up",
        START_UP,
        start_up_table(results).markdown(),
        _numba(results),
        "## Memory",
        MEMORY,
        memory_table(results).markdown(),
        "## Spread over the turns",
        spread_table(results).markdown(),
        "## Compilation",
        "Training steps of growing depth, from the graph as written to the plan; kernels come later, and are cached.",
        compile_table(figures.compile_times).markdown(),
        "## Machine",
        Table(["", ""], [[name, value] for name, value in figures.machine.items()]).markdown().replace("---:", "---"),
        f"Load average when the run began: {figures.load}.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def failures(results: Sequence[Result]) -> list[str]:
    """One line for every system that could not be measured."""
    return [f"{r.workload.name}: {system} failed: {why}" for r in results for system, why in r.failures.items()]


def _method(figures: Figures) -> str:
    settings = figures.settings
    tolerances = sorted({result.workload.tolerance for result in figures.results})
    return (
        "A training step is called from Python on NumPy arrays and updates the parameters; its loss is a result. The "
        "other workloads are called on NumPy arrays too, but JAX has the large ones as its own, because it would copy "
        "them. All systems start from the same parameters and data, and a system has no figures if the losses of its "
        "first 20 steps, or entries of its output, differ from those of the first system by more than "
        f"{' or '.join(f'{tolerance:g}' for tolerance in tolerances)} of the largest. Each has {settings.threads} "
        f"threads. A round starts a new process for each system and warms it up for {timing.WARM_UP_SECONDS:g} s; then "
        f"they take turns, {settings.turns} each, while the others sleep: steps for {timing.TURN_WARM_UP_SECONDS:g} s "
        f"that do not count, then for {settings.seconds:g} s, of which the median over stretches of "
        f"{timing.STRETCH_SECONDS:g} s, or of one step, is the figure of the turn. The table has the medians over the "
        f"turns of {settings.rounds} rounds. A process that has not answered after {TIMEOUT_SECONDS} s has failed. "
        "*Not expressed*: the computation was not written for that system here."
    )


def _failures(results: Sequence[Result]) -> list[str]:
    found = failures(results)
    return ["Failed:\n\n" + "\n".join(f"- {line}" for line in found)] if found else []


def _numba(results: Sequence[Result]) -> str:
    ours = [result for result in results if result.ours is not None and result.ours.warm is not None]
    needed = [result.workload.title for result in ours if result.ours is not None and result.ours.numba_imported]
    if not ours:
        return ""
    return f"With a filled cache, {OURS} imports Numba {'for: ' + '; '.join(needed) if needed else 'for none of them'}."
