"""The figures as a picture: for each workload, every system's time per step over ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import Result
from benchmarks.workload import OURS, SYSTEMS

COLORS = {
    "jax": "#4269d0",
    "jax-async": "#97bbf5",
    "torch": "#ff725c",
    "torch-compile": "#efb118",
    "pytensor": "#3ca951",
}
MARKERS = {"jax": "o", "jax-async": "o", "torch": "s", "torch-compile": "D", "pytensor": "^"}


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the picture as SVG, the same bytes for the same figures."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator

    shown = [(result, result.ours.step) for result in results if result.ours is not None and result.peers]
    figure = Figure(figsize=(9, 1.4 + 0.36 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    for system in [system for system in SYSTEMS if system != OURS]:
        points = [
            (result.peers[system].step / ours, row)
            for row, (result, ours) in enumerate(shown)
            if system in result.peers
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=36, color=COLORS[system], marker=MARKERS[system], label=system, zorder=3)
    axes.axvline(1, color="#333333", linewidth=1.5, label=OURS)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    axes.set_xlabel(f"time per step over that of {OURS}: to the right of 1, {OURS} is faster")
    axes.set_yticks(range(len(shown)), [result.workload.title for result, _ in shown])
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)  # the first one on top
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    figure.legend(loc="outside upper center", ncols=len(SYSTEMS), frameon=False)
    with mpl.rc_context({"svg.hashsalt": OURS}):
        figure.savefig(path, format=path.suffix[1:], metadata={"Date": None} if path.suffix == ".svg" else None)
