"""The learning rate of a metric that no longer improves; schedules by the step are in :mod:`graphc.optim.schedules`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc.errors import DTypeError, GraphError
from graphc.ir.ops import Variable
from graphc.train.callbacks import Callback
from graphc.train.history import History
from graphc.train.monitor import Mode, Monitor

__all__ = ["ReduceOnPlateau"]


class ReduceOnPlateau(Callback):
    """Multiply a learning rate when a metric has not improved for some epochs.

    For instance::

        rate = gr.variable(0.1)
        optimizer = gr.optim.SGD(rate)
        gr.train.fit(step, data, epochs=50, validation=..., callbacks=[gr.train.ReduceOnPlateau(rate)])

    As ``torch.optim.lr_scheduler.ReduceLROnPlateau`` has it, with an absolute threshold.

    Args:
        rate: the 0-d float variable that the optimizer was given.
        monitor: the name of the metric.
        factor: what the rate is multiplied by, at least 0 and below 1.
        patience: how many epochs in a row may bring no improvement.
        min_delta: the change above which a better value counts as an improvement.
        mode: whether smaller or larger is better.
        cooldown: how many epochs after a reduction do not count.
        min_rate: the rate does not get below it.

    Raises:
        DTypeError: the rate is no 0-d float variable.
        GraphError: a number is outside its range, or there is no such mode.
    """

    def __init__(
        self,
        rate: Variable,
        monitor: str = "validation_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: Mode = "min",
        cooldown: int = 0,
        min_rate: float = 0.0,
    ) -> None:
        if not 0.0 <= factor < 1.0:
            raise GraphError(f"factor={factor!r}", expected="a number of at least 0 and below 1")
        self.rate = _checked_rate(rate)
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.min_rate = min_rate
        self._monitor = Monitor("ReduceOnPlateau", monitor, mode, min_delta)
        self._reset()

    def _reset(self) -> None:
        self._monitor.reset()
        self._waited = 0
        self._cooling = 0

    def on_train_begin(self, history: History) -> None:
        """Forget the run before."""
        self._reset()

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
        """Reduce the rate where it is time to.

        Raises:
            GraphError: there is no such metric.
        """
        self._waited = 0 if self._monitor.improved(metrics) else self._waited + 1
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        if self._waited > self.patience:
            reduced = max(float(self.rate.value) * self.factor, self.min_rate)
            self.rate.value = np.array(min(reduced, float(self.rate.value)))
            self._waited, self._cooling = 0, self.cooldown

    def state_dict(self) -> dict[str, Any]:
        """The best value, and the epochs since then; the rate belongs to the optimizer's state."""
        return {"best": self._monitor.best, "waited": self._waited, "cooling": self._cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self._monitor.best, self._waited, self._cooling = state["best"], state["waited"], state["cooling"]


def _checked_rate(rate: Any) -> Variable:
    if isinstance(rate, Variable) and rate.shape == () and rate.dtype.is_float:
        return rate
    raise DTypeError(
        f"the learning rate to reduce is {rate!r}",
        expected="a float variable of shape ()",
        remedy="make rate = gr.variable(0.1), and give it to the optimizer and to the callback",
    )
