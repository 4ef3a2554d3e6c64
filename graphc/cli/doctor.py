"""``graphc doctor``: is all well with this installation and this machine?"""

from __future__ import annotations

from dataclasses import asdict

import click

from graphc.cli.checks import checks
from graphc.cli.output import json_option, write_json

__all__ = ["command"]


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Check versions, processor, threads, BLAS, the kernel cache, the compiler and Graphviz.

    Each line says ok, optional or problem, and what to do. The exit code is 1 if there is a problem.
    """
    found = []
    for check in checks():
        found.append(check)
        if not as_json:
            click.echo(check)
    if as_json:
        write_json([asdict(check) for check in found])
    return int(any(check.status == "problem" for check in found))
