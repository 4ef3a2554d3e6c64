"""Where a node comes from: the user's line, the scope it stands in, and whether it belongs to the backward graph."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from types import FrameType
from typing import Literal, TypeAlias

from graphc.record import record

__all__ = ["Location", "Origin", "Phase", "current_origin", "origin", "phase", "scope", "user_location"]

Phase: TypeAlias = Literal["forward", "backward"]

_NOT_THE_USER = (__name__.partition(".")[0], "contextlib", "functools")
"""Packages whose lines are nobody's intention: graphc's own, and what calls it back in the standard library."""


@record
class Location:
    """A line of the user's program."""

    filename: str
    line: int
    function: str = ""

    @property
    def text(self) -> str:
        """The source text of the line, stripped; empty where the file cannot be read."""
        return linecache.getline(self.filename, self.line).strip()

    @property
    def short(self) -> str:
        """The same on every machine: the file's name without its folder, the line, and its text."""
        return self._with_text(re.split(r"[/\\]", self.filename)[-1])

    def _with_text(self, filename: str) -> str:
        text = self.text
        return f"{filename}:{self.line}" + (f": {text}" if text else "")

    def __str__(self) -> str:
        return self._with_text(self.filename)


@record
class Origin:
    """What is known of where a node was made."""

    location: Location | None = None
    scope: str = ""
    phase: Phase = "forward"


_origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039 - Origin is frozen


@cache
def _is_the_users(module: str) -> bool:
    return module.partition(".")[0] not in _NOT_THE_USER


def user_location() -> Location | None:
    """The innermost line, on the stack, of code outside graphc."""
    frame: FrameType | None = sys._getframe(1)
    # By module, not by file: code that Python generates, such as the __init__ of a dataclass, has no file.
    while frame is not None and not _is_the_users(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    if frame is None:
        return None
    return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def current_origin() -> Origin:
    """The origin of a node made now: what :func:`origin` set, else the user's line."""
    current = _origin.get()
    return current if current.location is not None else Origin(user_location(), current.scope, current.phase)


@contextmanager
def origin(of: Origin) -> Iterator[None]:
    """Within it, nodes have this origin: passes use it to make new nodes in the name of old ones."""
    token = _origin.set(of)
    try:
        yield
    finally:
        _origin.reset(token)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Within it, nodes are grouped under ``name`` in pictures and texts. Scopes nest: ``encoder/attention``."""
    outer = _origin.get()
    with origin(replace(outer, scope=f"{outer.scope}/{name}" if outer.scope else name)):
        yield


@contextmanager
def phase(name: Phase) -> Iterator[None]:
    """Within it, nodes belong to the forward or to the backward graph."""
    with origin(replace(_origin.get(), phase=name)):
        yield
