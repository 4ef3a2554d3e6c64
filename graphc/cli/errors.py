"""Wrong use of the command line, as one message; and what a user's own program raised, as the user's lines."""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

import click

__all__ = ["UserError", "WrongUse", "closest", "unknown"]

_SHOWN_NAMES = 40


class WrongUse(click.ClickException):
    """The command cannot do what it was asked for; the exit code is 2."""

    exit_code = 2


class UserError(WrongUse):
    """The user's program raised an exception."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(f"{what}\n{_user_traceback(error)}")


def unknown(kind: str, name: str, known: Iterable[str]) -> WrongUse:
    """That there is nothing of the name, what is most like it, and what there is."""
    names = list(known)
    near = closest(name, names)
    guess = f"; did you mean {near!r}?" if near is not None else ""
    shown = [*names[:_SHOWN_NAMES], *["..."] * (len(names) > _SHOWN_NAMES)]
    there = f"\n  there are: {', '.join(shown)}" if names else ""
    return WrongUse(f"there is no {kind} {name!r}{guess}{there}")


def closest(name: str, names: Iterable[str]) -> str | None:
    """The name that is most like another; None if none is."""
    return next(iter(difflib.get_close_matches(name, list(names), 1)), None)


def _user_traceback(error: BaseException) -> str:
    """An exception with those lines of its traceback that are the user's own."""
    folders = [str(Path(__file__).resolve().parent.parent)]
    folders += [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen", *(f"{folder}/" for folder in folders)))
    ]
    return "".join([*traceback.format_list(frames), *traceback.format_exception_only(error)]).rstrip()
