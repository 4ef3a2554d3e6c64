"""``graphc source``: the generated kernels."""

from __future__ import annotations

import click

from graphc.cli.errors import unknown
from graphc.cli.load import load, program_argument
from graphc.cli.output import json_option, write_json

__all__ = ["command"]


@click.command("source")
@program_argument
@click.option("--kernel", help="Only the kernels of that name, or the one of that number.")
@json_option
def command(program: str, kernel: str | None, as_json: bool) -> None:
    """Write the source of the generated kernels: Python that Numba compiles.

    A kernel has the number of the first step that runs it, and a name.
    """
    sources = load(program).sources()
    if kernel is not None:
        chosen = {title: text for title, text in sources.items() if kernel in (title, *title.split(": "))}
        if not chosen:
            raise unknown("kernel", kernel, sources)
        sources = chosen
    if as_json:
        write_json(sources)
        return
    click.echo("\n\n".join(f"# {title}\n{text.strip()}" for title, text in sources.items()))
