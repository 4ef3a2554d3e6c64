"""What is said about a number that is not finite: where it came from, and the operands that it was made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.ir.source import Location, Phase
from graphc.record import record

__all__ = ["ArrayStatistics", "Culprit"]


@record
class ArrayStatistics:
    """An operand in numbers.

    Attributes:
        name: of the operand.
        type: its dtype and shape.
        least: the smallest finite item; None where there is none.
        greatest: the largest finite item.
        mean: of the finite items.
        nans: how many items are NaN.
        infinities: how many are infinities of either sign.
    """

    name: str
    type: str
    least: float | None
    greatest: float | None
    mean: float | None
    nans: int
    infinities: int

    @classmethod
    def of(cls, name: str, array: NDArray[Any]) -> ArrayStatistics:
        """Of an array."""
        shape = ", ".join(map(str, array.shape))
        finite = array[np.isfinite(array)]
        numbers: tuple[float | None, float | None, float | None] = None, None, None
        if finite.size:
            numbers = float(finite.min()), float(finite.max()), float(finite.mean(dtype=np.float64))
        nans, infinities = int(np.isnan(array).sum()), int(np.isinf(array).sum())
        return cls(name, f"{array.dtype}[{shape}]", *numbers, nans, infinities)

    def __str__(self) -> str:
        numbers = "no finite items"
        if self.mean is not None:
            numbers = f"min {self.least:g}, max {self.greatest:g}, mean {self.mean:g}"
        return f"{self.name}: {self.type}, {numbers}, {self.nans} NaN, {self.infinities} infinite"


@record
class Culprit:
    """Where the first number came from that is not finite.

    Attributes:
        op: the operation; ``"placeholder"``, ``"variable"`` or ``"constant"`` for one that was so before the call.
        name: of the placeholder or variable.
        phase: whether it belongs to the forward or to the backward graph.
        scope: the scopes that the user's line stood in.
        location: the user's line.
        loops: the loops around it, the outermost first, each with the step of it that was under way.
        statistics: of its result.
        index: where the first NaN is, or the first infinity if there is none.
        item: what it is.
        operands: the operands.
        operand_items: for elementwise operations, the items of the operands that the bad one was computed from.
    """

    op: str
    name: str | None
    phase: Phase
    scope: str
    location: Location | None
    loops: tuple[str, ...]
    statistics: ArrayStatistics
    index: tuple[int, ...]
    item: float
    operands: tuple[ArrayStatistics, ...]
    operand_items: tuple[Any, ...]
