"""What commands have in common when they write: options, checks of paths, JSON."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from graphc.cli.errors import WrongUse

__all__ = ["checked_path", "json_option", "write_json"]

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


def write_json(data: Any) -> None:
    """Write data to standard output."""
    click.echo(json.dumps(data, indent=2))


def checked_path(path: Path, suffixes: Collection[str]) -> Path:
    """A path to write to, checked before the work that is to be written begins.

    Raises:
        WrongUse: its suffix is not among ``suffixes``, its folder does not exist, or it is a folder itself.
    """
    if path.is_dir():
        raise WrongUse(f"{path} is a folder\n  expected: a file to write to")
    if path.suffix.lower() not in suffixes:
        raise WrongUse(f"the suffix {path.suffix!r} of {path} is unknown\n  expected: {', '.join(suffixes)}")
    if not path.parent.is_dir():
        raise WrongUse(f"the folder {path.parent} does not exist\n  remedy: mkdir -p {path.parent}")
    return path
