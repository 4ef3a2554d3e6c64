"""The record of a run for TensorBoard."""

from __future__ import annotations

import os
from typing import Any

from graphc.errors import GraphError
from graphc.train.callbacks import Callback
from graphc.train.history import History

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Write the metrics of epochs, and of steps on request, for ``tensorboard --logdir folder``.

    Means over epochs have their own names; what steps returned is ``step/loss`` and so on. Both stand over the number
    of steps. A resumed run goes on in the same folder, where TensorBoard leaves out what came after the step from which
    it goes on. The files are written by tensorboardX: ``pip install 'graphc[tensorboard]'``.

    Args:
        folder: of the files, one for each run that is to be shown as one.
        every_steps: write the metrics of a step after so many; None for never.

    Raises:
        GraphError: ``every_steps`` is below 1, or tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str], every_steps: int | None = None) -> None:
        if every_steps is not None and every_steps < 1:
            raise GraphError(f"every_steps={every_steps}", expected="at least 1, or None")
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise GraphError(
                f"gr.train.TensorBoard cannot import tensorboardX ({error})",
                expected="tensorboardX, which writes its files",
                remedy="pip install 'graphc[tensorboard]'",
            ) from error
        self.folder = os.fspath(folder)
        self.every_steps = every_steps
        self._make_writer = SummaryWriter
        self._writer: Any = None
        self._step = 0

    def on_train_begin(self, history: History) -> None:
        """Begin a file."""
        self._step = history.steps
        purge = history.steps + 1 if history.steps else None
        self._writer = self._make_writer(self.folder, purge_step=purge)

    def period(self) -> int | None:
        """That of ``every_steps``."""
        return self.every_steps

    def on_batch_end(self, step: int, metrics: dict[str, float]) -> None:
        """Write the step's metrics where it is time to."""
        self._step = step
        if self.every_steps is not None and step % self.every_steps == 0:
            for name, value in metrics.items():
                self._writer.add_scalar(f"step/{name}", value, step)

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
        """Write the epoch's metrics, and let all be in the file."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, self._step)
        self._writer.flush()

    def on_train_end(self, history: History) -> None:
        """End the file."""
        self._writer.close()
