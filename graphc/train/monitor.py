"""The best value of a metric so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from graphc.errors import GraphError

__all__ = ["Mode", "Monitor"]

Mode = Literal["min", "max"]
"""Whether smaller or larger is better."""


class Monitor:
    """Watches a metric for a callback.

    Args:
        owner: the name of the callback, for errors.
        name: of the metric.
        mode: whether smaller or larger is better.
        min_delta: the change above which a better value counts as an improvement.

    Attributes:
        best: the best value so far.

    Raises:
        GraphError: there is no such mode.
    """

    def __init__(self, owner: str, name: str, mode: Mode, min_delta: float = 0.0) -> None:
        if mode not in ("min", "max"):
            raise GraphError(f"mode={mode!r}", expected="'min' or 'max'")
        self.owner = owner
        self.name = name
        self.mode = mode
        self.min_delta = min_delta
        self.reset()

    def reset(self) -> None:
        """Forget the best value."""
        self.best = math.inf if self.mode == "min" else -math.inf

    def improved(self, metrics: Mapping[str, float]) -> bool:
        """Whether the metric is the best so far, which is then noted.

        Raises:
            GraphError: there is no such metric.
        """
        if self.name not in metrics:
            raise GraphError(
                f"{self.owner} watches {self.name!r}, which is not among the metrics {', '.join(metrics)}",
                expected="the name of a metric",
                remedy="pass monitor=, or give fit a validation",
            )
        value = metrics[self.name]
        gain = self.best - value if self.mode == "min" else value - self.best
        if not gain > self.min_delta:  # NaN is no improvement
            return False
        self.best = value
        return True
