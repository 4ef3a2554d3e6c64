"""Callbacks: what else is done while a model is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

from graphc.errors import GraphError
from graphc.ir.op import Array
from graphc.ir.ops import Variable
from graphc.train.history import History

__all__ = ["Callback", "EarlyStopping", "LambdaCallback"]


class Callback:
    """Methods that :func:`graphc.train.fit` calls. Those that return True end the run."""

    def on_train_begin(self, history: History) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before each epoch; they count from 1."""

    def on_batch_end(self, step: int, metrics: dict[str, float]) -> bool | None:
        """After each step, with its own scalars; steps count from 1 over the whole run."""

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> bool | None:
        """After each epoch and its validation, with their means."""

    def on_train_end(self, history: History) -> None:
        """After the last epoch, also where the run was ended early or interrupted."""


class LambdaCallback(Callback):
    """A callback from functions: ``LambdaCallback(on_epoch_end=lambda epoch, metrics: print(metrics))``."""

    def __init__(
        self,
        on_train_begin: Callable[[History], Any] | None = None,
        on_epoch_begin: Callable[[int], Any] | None = None,
        on_batch_end: Callable[[int, dict[str, float]], Any] | None = None,
        on_epoch_end: Callable[[int, dict[str, float]], Any] | None = None,
        on_train_end: Callable[[History], Any] | None = None,
    ) -> None:
        functions = {
            "on_train_begin": on_train_begin,
            "on_epoch_begin": on_epoch_begin,
            "on_batch_end": on_batch_end,
            "on_epoch_end": on_epoch_end,
            "on_train_end": on_train_end,
        }
        vars(self).update({name: function for name, function in functions.items() if function is not None})


class EarlyStopping(Callback):
    """End the run when a metric has not improved for some epochs.

    Args:
        monitor: the name of the metric.
        patience: how many epochs in a row may bring no improvement.
        min_delta: the change above which a better value counts as an improvement.
        mode: whether smaller or larger is better.
        restore: variables, such as ``model.parameters()``, that get the values of the best epoch when the run ends.

    Attributes:
        best: the best value so far.
        best_epoch: its epoch, from 1; 0 before the first.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min",
        restore: Iterable[Variable] = (),
    ) -> None:
        if mode not in ("min", "max"):
            raise GraphError(f"mode={mode!r}", expected="'min' or 'max'")
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.restore = list(restore)
        self._reset()

    def _reset(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf
        self.best_epoch = 0
        self._kept: list[Array] = []

    def on_train_begin(self, history: History) -> None:
        """Forget the run before."""
        self._reset()

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Whether the metric has not improved for more than ``patience`` epochs.

        Raises:
            GraphError: there is no such metric.
        """
        if self.monitor not in metrics:
            raise GraphError(
                f"EarlyStopping watches {self.monitor!r}, which is not among the metrics {', '.join(metrics)}",
                expected="the name of a metric",
                remedy="pass monitor=, or give fit a validation",
            )
        value = metrics[self.monitor]
        gain = self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta:
            self.best, self.best_epoch = value, epoch
            self._kept = [variable.value for variable in self.restore]
        return epoch - self.best_epoch > self.patience

    def on_train_end(self, history: History) -> None:
        """Bring back the values of the best epoch."""
        if self._kept:
            for variable, array in zip(self.restore, self._kept, strict=True):
                variable.value = array
