"""``graphc train``: the examples."""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from graphc.cli.errors import UserError, WrongUse, unknown
from graphc.cli.output import json_option, write_json

__all__ = ["command", "examples"]


class _ExampleError(UserError):
    """An example raised an exception; the exit code is that of any such program."""

    exit_code = 1


def examples() -> dict[str, Path]:
    """The examples by name: those of the wheel, or of the sources that this package is used from.

    Raises:
        WrongUse: there are none.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "examples", package.parent / "examples"):
        found = {path.stem: path for path in sorted(folder.glob("*.py"))}
        if found:
            return found
    raise WrongUse(f"{package} has no examples\n  remedy: install graphc again")


@click.command("train", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--show", is_flag=True, help="Write the source of the example, to read or to start from.")
@json_option
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(show: bool, as_json: bool, name: str | None, arguments: Sequence[str]) -> int:
    """Run an example by its NAME, with the ARGUMENTS after it; without a name, list them.

    "graphc train NAME --help" tells what the example takes; "graphc train --show NAME > mine.py" copies it. The exit
    code is the example's: 1 where it did not learn what it should.
    """
    known = examples()
    if name is None:
        _list(known, as_json)
        return 0
    if as_json:
        raise WrongUse("--json is for the list of examples\n  remedy: leave it out")
    if name not in known:
        raise unknown("example", name, known)
    if show:
        click.echo(known[name].read_text(encoding="utf-8"), nl=False)
        return 0
    return _run(name, known[name], arguments)


def _list(known: dict[str, Path], as_json: bool) -> None:
    summaries = {name: _summary(path) for name, path in known.items()}
    if as_json:
        write_json(summaries)
        return
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        click.echo(f"{name:<{width}}  {summary}")


def _summary(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _run(name: str, path: Path, arguments: Sequence[str]) -> int:
    try:
        with _process_arguments([str(path), *arguments]):
            runpy.run_path(str(path), run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        click.echo(error.code, err=True)
        return 1
    except OSError:
        raise
    except Exception as error:
        raise _ExampleError(f"the example {name!r} raised an exception", error) from None
    return 0


@contextmanager
def _process_arguments(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = arguments
    try:
        yield
    finally:
        sys.argv = before
