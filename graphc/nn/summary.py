"""The table that ``model.summary(x)`` gives: what each module returned when it was called."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphc.ir.graph import Value
from graphc.ir.ops import Variable

if TYPE_CHECKING:
    from graphc.nn.module import Module

__all__ = ["record", "summary_text"]


@dataclass(slots=True)
class _Row:
    depth: int
    name: str
    module: Module
    result: str = ""


@dataclass(slots=True)
class _Recording:
    rows: list[_Row]
    depth: int = 0


_recording: ContextVar[_Recording | None] = ContextVar("recording", default=None)


@contextmanager
def record(module: Module, name: str) -> Iterator[Callable[[Any], None]]:
    """Note a call of a module where a summary is being made; gives the function that takes the result."""
    recording = _recording.get()
    if recording is None:
        yield lambda result: None
        return
    row = _Row(recording.depth, name, module)
    recording.rows.append(row)
    recording.depth += 1

    def finish(result: Any) -> None:
        row.result = _types(result)

    try:
        yield finish
    finally:
        recording.depth -= 1


def _types(result: Any) -> str:
    if isinstance(result, Value):
        return str(result.type)
    if isinstance(result, list | tuple):
        return ", ".join(map(_types, result))
    if isinstance(result, dict):
        return ", ".join(f"{key}: {_types(item)}" for key, item in result.items())
    return type(result).__name__


def summary_text(model: Module, call: Callable[[], Any]) -> str:
    """The table of the modules that ``call`` calls.

    A module's parameters are counted in its own row and in those around it, each parameter once in the total.
    """
    token = _recording.set(_Recording([]))
    try:
        call()
        recording = _recording.get()
    finally:
        _recording.reset(token)
    assert recording is not None
    lines = [("module", "type", "result", "parameters")]
    for row in recording.rows:
        name = "  " * row.depth + row.name
        lines.append((name, type(row.module).__name__, row.result, f"{_count(row.module):,}"))
    size = sum(_items(variable) * variable.dtype.itemsize for variable in model.parameters())
    return f"{_table(lines)}\n{_count(model):,} parameters, {size:,} bytes"


def _count(module: Module) -> int:
    return sum(map(_items, module.parameters()))


def _items(variable: Variable) -> int:
    return math.prod(map(int, variable.shape))


def _table(lines: Sequence[tuple[str, str, str, str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            text.rjust(width) if column == 3 else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    rule = "-" * len(texts[0])
    return "\n".join([texts[0], rule, *texts[1:], rule])
