"""What graphc raises. Every message says what was found, what was expected, what to do, and where the user wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.ir.source import Location, current_origin

if TYPE_CHECKING:
    from pathlib import Path

    from graphc.culprit import Culprit

__all__ = [
    "DTypeError",
    "FeedError",
    "GradientError",
    "GraphError",
    "IndexFault",
    "Location",
    "NumericsError",
    "PassError",
    "ShapeError",
    "VerifyError",
]


class GraphError(Exception):
    """The base of graphc's errors.

    ``found``, ``expected``, ``remedy`` and ``location`` are kept as attributes, so that tools can show them apart. The
    location, where none is given, is the line of the user's program that led here, or of the node a pass works on.
    ``expression`` is the operation and its operands, where operands do not fit their operation.
    """

    expression: str = ""

    def __init__(self, found: str, *, expected: str = "", remedy: str = "", location: Location | None = None) -> None:
        self.found = found
        self.expected = expected
        self.remedy = remedy
        self.location = location or current_origin().location
        super().__init__(found)

    def __str__(self) -> str:
        lines = [self.found]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.remedy:
            lines.append(f"  remedy: {self.remedy}")
        if self.expression:
            lines.append(f"  in {self.expression}")
        if self.location is not None:
            lines.append(f"  at {self.location}")
        return "\n".join(lines)


class ShapeError(GraphError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(GraphError, TypeError):
    """A dtype, or a kind of argument, that the operation does not take."""


class GradientError(GraphError, ValueError):
    """A derivative that was asked for and does not exist."""


class FeedError(GraphError, ValueError):
    """Arguments of a compiled function that do not match its placeholders."""


class IndexFault(GraphError, IndexError):
    """An index, found in data at run time, outside its axis."""


class NumericsError(GraphError, FloatingPointError):
    """A result that is not finite, found by ``gr.compile(check_numerics=True)``.

    Attributes:
        culprit: the :class:`graphc.culprit.Culprit` that the message tells of; None where none was found.
    """

    culprit: Culprit | None = None


class VerifyError(GraphError, AssertionError):
    """A graph or a plan that breaks an invariant: a defect of a pass or of an operation."""


class PassError(GraphError, RuntimeError):
    """A pass that failed; names the pass and the node it worked on.

    Attributes:
        reproducer: a Python program that shows a change of values which ``verify`` found; None where none was written.
    """

    reproducer: Path | None = None
