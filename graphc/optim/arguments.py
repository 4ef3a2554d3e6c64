"""Checks of the numbers that optimizers and schedules take."""

from __future__ import annotations

import math

from graphc.errors import GraphError

__all__ = ["check_at_least", "check_share"]


def check_at_least(low: float, **arguments: float) -> None:
    """Check that arguments are finite numbers of at least ``low``.

    Raises:
        GraphError: one is not; the message names it.
    """
    for name, value in arguments.items():
        if not (math.isfinite(value) and value >= low):
            raise GraphError(f"{name}={value!r}", expected=f"a finite number of at least {low:g}")


def check_share(**arguments: float) -> None:
    """Check that arguments are at least 0 and below 1.

    Raises:
        GraphError: one is not; the message names it.
    """
    for name, value in arguments.items():
        if not 0.0 <= value < 1.0:
            raise GraphError(f"{name}={value!r}", expected="a number of at least 0 and below 1")
