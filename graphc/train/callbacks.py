"""Callbacks: what else is done while a model is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from graphc.ir.op import Array
from graphc.ir.ops import Variable
from graphc.train.history import History
from graphc.train.monitor import Mode, Monitor

if TYPE_CHECKING:
    from graphc.train.run import Run

__all__ = ["Callback", "EarlyStopping", "LambdaCallback"]


class Callback:
    """Methods that :func:`graphc.train.fit` calls. Those that return True end the run.

    Between two steps after which no callback is to be called, `fit` needs no Python: see :meth:`period`.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if vars(cls).keys() & {"on_batch_end", "on_safe_point"} and "period" not in vars(cls):
            cls.period = _every_step  # type: ignore[method-assign]

    def period(self) -> int | None:
        """After how many steps `on_batch_end` and `on_safe_point` are needed; None for the ends of epochs alone.

        They are called after the steps of the run whose numbers are multiples of it, after the last one of an epoch,
        and maybe after others. A class that defines one of the two and not this is called after every step.
        """
        return 1 if "on_batch_end" in vars(self) else None

    def on_train_begin(self, history: History) -> None:
        """Before the first epoch. The history of a resumed run holds what was done before."""

    def on_epoch_begin(self, epoch: int) -> bool | None:
        """Before each epoch; they count from 1. An epoch that is resumed begins again."""

    def on_batch_end(self, step: int, metrics: dict[str, float]) -> bool | None:
        """After each step, with its own scalars; steps count from 1 over the whole run."""

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> bool | None:
        """After each epoch and its validation, with their means."""

    def on_safe_point(self, run: Run) -> None:
        """Where the run could be left and resumed: after each step and epoch, and at the end before `on_train_end`.

        All callbacks have seen the step or epoch before the first of them is called here.
        """

    def on_train_end(self, history: History) -> None:
        """After the last epoch, also where the run was ended early or interrupted."""

    def state_dict(self) -> dict[str, Any]:
        """What the callback needs in a resumed run: arrays, and what JSON has, by name."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; called after `on_train_begin`."""


def _every_step(self: Callback) -> int:
    """The period of a class that does not define it."""
    return 1


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
        best_epoch: the epoch of the best value, from 1; 0 before the first.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: Mode = "min",
        restore: Iterable[Variable] = (),
    ) -> None:
        self.patience = patience
        self.restore = list(restore)
        self._monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self._reset()

    @property
    def best(self) -> float:
        """The best value so far."""
        return self._monitor.best

    def _reset(self) -> None:
        self._monitor.reset()
        self.best_epoch = 0
        self._kept: list[Array] = []

    def on_train_begin(self, history: History) -> None:
        """Forget the run before."""
        self._reset()

    def on_epoch_begin(self, epoch: int) -> bool:
        """Whether a resumed run had come to its end before."""
        return self._waited(epoch - 1)

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Whether the metric has not improved for more than ``patience`` epochs.

        Raises:
            GraphError: there is no such metric.
        """
        if self._monitor.improved(metrics):
            self.best_epoch = epoch
            self._kept = [variable.value for variable in self.restore]
        return self._waited(epoch)

    def _waited(self, epoch: int) -> bool:
        return epoch - self.best_epoch > self.patience

    def on_train_end(self, history: History) -> None:
        """Bring back the values of the best epoch."""
        if self._kept:
            for variable, array in zip(self.restore, self._kept, strict=True):
                variable.value = array

    def state_dict(self) -> dict[str, Any]:
        """The best value, its epoch, and the arrays to restore."""
        kept = {f"kept_{place}": array for place, array in enumerate(self._kept)}
        return {"best": self._monitor.best, "best_epoch": self.best_epoch} | kept

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self._monitor.best, self.best_epoch = state["best"], state["best_epoch"]
        self._kept = [state[f"kept_{place}"] for place in range(len(self.restore)) if f"kept_{place}" in state]
