"""From ``FILE:NAME`` on the command line to a compiled function."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import graphc as gr
from graphc.cli.errors import UserError, WrongUse, unknown
from graphc.ir.graph import reachable
from graphc.passes.pipeline import run_passes

__all__ = ["load", "program_argument"]

_MODULE = "user_program"
"""What the user's file is called as a module: not ``__main__``, so that it only defines."""

_MISSING = object()

_KINDS = (
    "a compiled function, a graph, a value, a list of values, or a function without arguments that returns one of these"
)

program_argument = click.argument("program", metavar="FILE:NAME")


def load(program: str) -> gr.Function:
    """The function that ``FILE:NAME`` names; graphs and values are compiled.

    What the file prints goes to standard error.

    Raises:
        WrongUse: there is no such file or name, the file raises an exception, or the object is of another kind.
        GraphError: the graph or the values cannot be compiled.
    """
    file, _, name = program.rpartition(":")
    path = Path(file or program)
    if not file:
        there = ", ".join(_usable(_module(path))) if path.is_file() else ""
        raise WrongUse(
            f"{program!r} does not say which object to take\n  expected: FILE:NAME, as in model.py:step"
            + (f"\n  {path} has: {there}" if there else "")
        )
    if not name:
        raise WrongUse(f"there is no name after the colon of {program!r}\n  expected: FILE:NAME, as in model.py:step")
    found = _attribute(_module(path), name, path)
    if not isinstance(found, type) and _needs_no_arguments(found):
        found = _run(path, found, f"{name}() of {path} raised an exception")
    return _compiled(found, program)


def _module(path: Path) -> ModuleType:
    """The user's file, run."""
    if path.is_dir():
        raise WrongUse(f"{path} is a folder\n  expected: a Python file")
    if not path.is_file():
        near = [each.name for each in sorted(path.parent.glob("*.py"))] if path.parent.is_dir() else []
        raise unknown("file", str(path), near)
    if path.suffix != ".py":
        raise WrongUse(f"{path} is not a Python file\n  expected: a file whose name ends in .py")
    module = ModuleType(_MODULE)
    module.__file__ = str(path.resolve())
    sys.modules[_MODULE] = module  # dataclasses, among others, look their module up

    def execute() -> None:
        code = compile(path.read_bytes(), str(path.resolve()), "exec", dont_inherit=True)
        exec(code, module.__dict__)

    _run(path, execute, f"{path} raised an exception")
    return module


def _run(path: Path, what: Callable[[], Any], failure: str) -> Any:
    """Run the user's code; it may import the files beside it."""
    try:
        with _importable(path), contextlib.redirect_stdout(sys.stderr):
            return what()
    except SystemExit as error:
        raise WrongUse(
            f"{path} ended the program with sys.exit({error.code!r})\n"
            "  remedy: put what is to run, not to be imported, under if __name__ == '__main__':"
        ) from None
    except OSError as error:
        if error.filename is not None and Path(error.filename) == path:
            raise WrongUse(f"{path} cannot be read: {error.strerror}") from None
        raise UserError(failure, error) from None
    except Exception as error:
        raise UserError(failure, error) from None


@contextlib.contextmanager
def _importable(path: Path) -> Iterator[None]:
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _attribute(module: ModuleType, name: str, path: Path) -> Any:
    found: Any = module
    for part in name.split("."):
        inner = _run(path, partial(getattr, found, part, _MISSING), f"{name} of {path} raised an exception")
        if inner is _MISSING:
            known = (found is module and _usable(module)) or [each for each in dir(found) if not each.startswith("_")]
            where = path if found is module else f"{path}:{name.rpartition(f'.{part}')[0]}"
            raise WrongUse(f"{where}: {unknown('name', part, known).message}")
        found = inner
    return found


def _usable(module: ModuleType) -> list[str]:
    """The names in a module that commands can take."""
    return [
        name
        for name, each in vars(module).items()
        if isinstance(each, gr.Function | gr.Graph | gr.Value)
        or (_is_values(each) and not name.startswith("_"))
        or (getattr(each, "__module__", "") == _MODULE and not isinstance(each, type) and _needs_no_arguments(each))
    ]


def _is_values(found: Any) -> bool:
    return isinstance(found, list | tuple) and len(found) > 0 and all(isinstance(each, gr.Value) for each in found)


def _needs_no_arguments(found: Any) -> bool:
    if not inspect.isroutine(found):
        return False
    parameters = inspect.signature(found).parameters.values()
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(each.default is not each.empty or each.kind in optional for each in parameters)


def _compiled(found: Any, program: str) -> gr.Function:
    if isinstance(found, gr.Function):
        return found
    if isinstance(found, gr.Graph):
        return gr.Function(found.inputs, lambda: run_passes(found), single=False)
    if isinstance(found, gr.Value):
        return gr.compile(_placeholders([found]), found)
    if _is_values(found):
        return gr.compile(_placeholders(found), found)
    raise WrongUse(f"{program} is of type {type(found).__qualname__}\n  expected: {_KINDS}")


def _placeholders(values: Sequence[gr.Value]) -> list[gr.Value]:
    return [node.output for node in reachable(values) if node.op.name == "placeholder"]
