"""``graphc explain``: what the passes did."""

from __future__ import annotations

from dataclasses import asdict

import click

from graphc.cli.load import load, program_argument
from graphc.cli.output import json_option, write_json
from graphc.passes.explain import changes, fusion_report

__all__ = ["command"]


@click.command("explain")
@program_argument
@json_option
def command(program: str, as_json: bool) -> None:
    """Tell what each pass did, and why operations were fused or not."""
    stages = load(program).stages
    passes, fusion = changes(stages), fusion_report(stages)
    if as_json:
        data = {"passes": [asdict(each) for each in passes], "fusion": None if fusion is None else asdict(fusion)}
        write_json(data)
        return
    for change in passes:
        click.echo(change)
    click.echo()
    click.echo(fusion if fusion is not None else "fusion was left out")
