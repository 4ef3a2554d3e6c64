"""The progress bar of a training run."""

from __future__ import annotations

import time
from typing import Any

from graphc.train.metrics import Means

__all__ = ["ProgressBar"]

_INTERVAL = 0.1
"""Seconds between two refreshes: a step may take microseconds, drawing takes many."""


class ProgressBar:
    """The bar of one epoch: share of the examples, examples a second, means so far. Draws nothing if not ``shown``.

    It begins at ``done`` examples where the epoch is resumed.
    """

    def __init__(self, title: str, total: int | None, shown: bool, done: int = 0) -> None:
        self._bar: Any = None
        self._done = done
        self._last = time.perf_counter()
        if shown:
            from tqdm import tqdm

            self._bar = tqdm(desc=title, total=total, initial=done, unit=" examples", unit_scale=True)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, examples: int, means: Means) -> None:
        """Count examples; draw where it is time to."""
        self._done += examples
        if self._bar is None:
            return
        now = time.perf_counter()
        if now - self._last >= _INTERVAL:
            self._last = now
            self._draw(means.as_dict())

    def finish(self, metrics: dict[str, float]) -> None:
        """Draw for the last time, with the means of the epoch and its validation."""
        if self._bar is not None:
            self._draw(metrics)

    def _draw(self, metrics: dict[str, float]) -> None:
        self._bar.set_postfix_str(", ".join(f"{name}={value:.4g}" for name, value in metrics.items()), refresh=False)
        self._bar.n = self._done
        self._bar.refresh()
