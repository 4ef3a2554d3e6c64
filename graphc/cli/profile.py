"""``graphc profile``: where the time of a call goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

from graphc.cli.inputs import random_inputs, size_option, size_values
from graphc.cli.load import load, program_argument
from graphc.cli.output import checked_path, json_option
from graphc.runtime.profiling.profile import View

__all__ = ["command"]


@click.command("profile")
@program_argument
@size_option
@click.option("--by", type=click.Choice(["step", *get_args(View)]), default="step", help="What a line stands for.")
@click.option("--sort", is_flag=True, help="Steps that take most time first.")
@click.option("--repeats", type=click.IntRange(min=1), help="How often each step is timed.")
@click.option("--trace", type=click.Path(path_type=Path), help="Also write a trace for https://ui.perfetto.dev: .json.")
@json_option
def command(
    program: str,
    sizes: Sequence[str],
    by: Any,
    sort: bool,
    repeats: int | None,
    trace: Path | None,
    as_json: bool,
) -> None:
    """Call a function on random inputs and tell what each step takes.

    Floats are drawn from 0 to 1, integers are 0 or 1. Variables keep their values.
    """
    if trace is not None:
        checked_path(trace, (".json",))
    function = load(program)
    inputs = random_inputs(function, size_values(function, sizes))
    profile = function.profile(*inputs, repeats=repeats)
    if trace is not None:
        profile.save_trace(trace)
        click.echo(f"wrote {trace}", err=True)
    click.echo(profile.to_json() if as_json else profile.table(by, sort))
