"""``graphc viz``: pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

import graphc as gr
from graphc.cli.errors import WrongUse, unknown
from graphc.cli.inputs import random_inputs, size_option, size_values
from graphc.cli.load import load, program_argument
from graphc.cli.output import checked_path

__all__ = ["command"]

_PICTURES = (".dot", ".svg", ".png")
_SUFFIXES = (*_PICTURES, ".txt", ".html")


@click.command("viz")
@program_argument
@click.option(
    "--stage",
    help="The graph after the pass of that name; 'written' for the user's, 'final' for the last (the default), "
    "'schedule' for the steps and their memory (SVG).",
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help=f"A file: {', '.join(_SUFFIXES)}.")
@click.option("--depth", help="How many levels of boxes to open: a number, or 'auto' for what can be read.")
@click.option("--times", is_flag=True, help="Measure each step with random inputs, for HTML.")
@size_option
def command(
    program: str, stage: str | None, output: Path | None, depth: str | None, times: bool, sizes: Sequence[str]
) -> None:
    """Draw a graph.

    Without --output, DOT text goes to standard output. SVG and HTML need no other program, PNG needs Graphviz. An HTML
    file holds all stages; open it with a browser.
    """
    suffix = checked_path(output, _SUFFIXES).suffix.lower() if output is not None else ".dot"
    levels = _levels(depth)
    _check_options(suffix, stage, levels is not None, times, bool(sizes))
    function = load(program)
    if output is not None and suffix == ".html":
        inputs = random_inputs(function, size_values(function, sizes)) if times else None
        function.report(output, inputs, title=program)
    elif output is not None and stage == "schedule":
        from graphc.viz import schedule_svg

        plan = function.plan_for(**size_values(function, sizes))
        output.write_text(schedule_svg(function.program, plan), encoding="utf-8")
    else:
        _draw(function, stage or "final", output, suffix, levels)
    if output is not None:
        click.echo(f"wrote {output}", err=True)


def _draw(function: gr.Function, stage: str, output: Path | None, suffix: str, levels: int | str | None) -> None:
    names = [each.name for each in function.stages]
    if stage not in ("final", *names):
        raise unknown("stage", stage, [*names, "final", "schedule"])
    if output is None:
        click.echo(function.to_dot(stage, depth=levels), nl=False)
        return
    from graphc.viz import save

    options = {"title": stage, "depth": levels} if levels is not None else {"title": stage}
    save(function.stage(stage), output, **(options if suffix in _PICTURES else {}))


def _levels(depth: str | None) -> int | str | None:
    if depth is None or depth == "auto":
        return depth
    if not depth.isdecimal():
        raise WrongUse(f"--depth is {depth!r}\n  expected: a whole number of at least 0, or 'auto'")
    return int(depth)


def _check_options(suffix: str, stage: str | None, depth: bool, times: bool, sizes: bool) -> None:
    """Refuse options that would do nothing."""
    if stage is not None and suffix == ".html":
        raise WrongUse("--stage has no meaning for HTML, which shows all stages\n  remedy: leave it out")
    if stage == "schedule" and suffix != ".svg":
        raise WrongUse("the schedule is drawn as SVG alone\n  remedy: add --output schedule.svg")
    if depth and suffix not in _PICTURES:
        raise WrongUse(f"--depth has no meaning for {suffix}\n  expected: {', '.join(_PICTURES)}")
    if times and suffix != ".html":
        raise WrongUse("--times is for HTML alone\n  remedy: add --output report.html, or use graphc profile")
    if sizes and not times and stage != "schedule":
        raise WrongUse("--size has no meaning here\n  expected: with --times or --stage schedule alone")
