"""The callback that saves a run, so that it can be resumed."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.errors import GraphError
from graphc.function import Function
from graphc.ir.ops import Variable
from graphc.random import default_generator
from graphc.state import numbered
from graphc.train.atomic import replace_file
from graphc.train.callbacks import Callback
from graphc.train.checkpoint import LAST, SavedCheckpoint, save_checkpoint
from graphc.train.history import History
from graphc.train.monitor import Mode, Monitor
from graphc.train.parts import Part, variables_in

if TYPE_CHECKING:
    from graphc.train.run import Run

__all__ = ["Checkpoint"]

_BEST = "best.safetensors"
_STEP = re.compile(r"step-\d+\.safetensors")


class Checkpoint(Callback):
    """Save a run while it goes on: ``last.safetensors`` in a folder, and the best and the most recent ones on request.

    For instance::

        checkpoint = gr.train.Checkpoint("run", model=model, optimizer=optimizer, monitor="validation_loss")
        gr.train.fit(step, data, epochs=50, validation=(test, test_data), callbacks=[checkpoint], resume=True)

    Saved are the parts that are given, every other variable that the compiled step reads (such as the states of random
    generators), the default random generator, where the run is in its epoch and its data, its history, and the state of
    the callbacks: a resumed run gives the same bits as one that was not stopped. A file is replaced whole or not at
    all; killing the process loses the steps since the last one. When a run ends, interrupted with Ctrl-C or not, what
    was not saved yet is saved.

    Args:
        folder: of the files; it is made where there is none.
        every_epochs: save after so many epochs; None for never.
        every_steps: save after so many steps.
        every_minutes: save after a step so many minutes after the last time.
        monitor: the name of a metric; after an epoch with a new best value, ``best.safetensors`` is saved.
        mode: whether smaller or larger values of the metric are better.
        keep: how many of the most recent checkpoints are kept as ``step-00000100.safetensors`` and so on.
        overwrite: whether a new run may replace the checkpoints of another one in the folder.
        metadata: what else to keep in the files: anything that JSON has, by name.
        **parts: what to save, as for :func:`graphc.train.save_checkpoint`. The names ``run`` and ``variables``, and
            those that begin with ``callback_``, are taken.

    Raises:
        GraphError: an argument is outside its range.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        every_minutes: float | None = None,
        monitor: str | None = None,
        mode: Mode = "min",
        keep: int = 0,
        overwrite: bool = False,
        metadata: Mapping[str, Any] | None = None,
        **parts: Part,
    ) -> None:
        for name, number in (("epochs", every_epochs), ("steps", every_steps), ("minutes", every_minutes)):
            if number is not None and not number > 0:
                raise GraphError(f"every_{name}={number}", expected="a number above 0, or None")
        if keep < 0:
            raise GraphError(f"keep={keep}", expected="at least 0")
        for name in parts:
            if name in ("run", "variables") or name.startswith("callback_"):
                raise GraphError(f"a part is called {name!r}", expected="a name that Checkpoint does not use itself")
        self.folder = Path(folder)
        self.every_epochs = every_epochs
        self.every_steps = every_steps
        self.every_minutes = every_minutes
        self.keep = keep
        self.overwrite = overwrite
        self.metadata = metadata
        self.parts = parts
        self._monitor = Monitor("Checkpoint", monitor, mode) if monitor is not None else None
        self._source: Path | None = None
        """What the run that begins was resumed from."""

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / LAST

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch, where a metric is watched."""
        return self.folder / _BEST

    def resume(self, run: Run, source: str | PathLike[str] | None) -> SavedCheckpoint | None:
        """Load the state of a run, but for its callbacks.

        Args:
            run: what to load into.
            source: a checkpoint or a folder of them; None for the last one in the own folder, if there is one.

        Returns:
            What was loaded; None where there is nothing yet.
        """
        if source is None and not self.last.exists():
            return None
        saved = SavedCheckpoint(self.last if source is None else source)
        saved.load(self._parts(run))
        self._source = saved.info.path
        return saved

    def on_train_begin(self, history: History) -> None:
        """Make the folder.

        Raises:
            GraphError: it cannot be made, or holds the checkpoints of another run.
        """
        source, self._source = self._source, None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GraphError(
                f"the folder {self.folder} for checkpoints cannot be made: {error.strerror or error}",
                expected="a path where a folder is or can be made",
            ) from error
        continued = source is not None and source.resolve().parent == self.folder.resolve()
        if self.last.exists() and not (continued or self.overwrite):
            raise GraphError(
                f"the folder {self.folder} holds the checkpoints of another run",
                expected="an empty folder for a new run",
                remedy="continue that run with fit(..., resume=True), choose another folder, "
                "or let it be replaced with Checkpoint(..., overwrite=True)",
            )
        if self._monitor is not None:
            self._monitor.reset()
        self._saved = _place(history) if source is not None else None
        self._due = self._improved = False
        self._time = time.monotonic()

    def period(self) -> int | None:
        """That of ``every_steps``: minutes are looked at where it comes to it."""
        return self.every_steps

    def on_batch_end(self, step: int, metrics: dict[str, float]) -> None:
        """Note whether it is time to save."""
        if self.every_steps is not None and step % self.every_steps == 0:
            self._due = True
        if self.every_minutes is not None and time.monotonic() - self._time >= 60 * self.every_minutes:
            self._due = True

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
        """Note whether it is time to save, and whether the metric is the best so far.

        Raises:
            GraphError: there is no such metric.
        """
        self._improved = self._monitor is not None and self._monitor.improved(metrics)
        if self._improved or (self.every_epochs is not None and epoch % self.every_epochs == 0):
            self._due = True

    def on_safe_point(self, run: Run) -> None:
        """Save where it is time to, and at the end what was not saved yet.

        Raises:
            GraphError: a file cannot be written.
        """
        if self._due or (run.ended and self._saved != _place(run.history)):
            self._save(run)
        if run.ended and run.history.interrupted:
            sys.stderr.write(f"interrupted after step {run.history.steps}; saved in {self.last}, to be resumed there\n")

    def _save(self, run: Run) -> None:
        files = [self.best] if self._improved else []
        files += [self.folder / f"step-{run.history.steps:08d}.safetensors"] if self.keep else []
        files += [self.last]  # comes last: a run that is killed before it repeats what makes the others
        save_checkpoint(files[0], metadata=self.metadata, **self._parts(run), **run.named_callbacks())
        for file in files[1:]:
            _copy(files[0], file)
        if self.keep:
            kept = [file for file in self.folder.iterdir() if _STEP.fullmatch(file.name)]
            for old in sorted(kept, key=lambda file: file.stat().st_mtime_ns)[: -self.keep]:
                old.unlink()
        self._saved = _place(run.history)
        self._due = self._improved = False
        self._time = time.monotonic()

    def _parts(self, run: Run) -> dict[str, Part]:
        return self.parts | {"variables": self._other_variables(run), "run": run}

    def _other_variables(self, run: Run) -> dict[str, Variable]:
        """The variables that no part holds, by name; steps of one program give the same names."""
        held = {variable for part in self.parts.values() for variable in variables_in(part)}
        read = run.step.stage("written").variables if isinstance(run.step, Function) else ()
        others = [value for value in dict.fromkeys([default_generator.state, *read]) if value not in held]
        variables = [value for value in others if isinstance(value, Variable)]
        return dict(zip(numbered(value.name or "variable" for value in variables), variables, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """The best value of the metric."""
        return {"best": self._monitor.best} if self._monitor is not None else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave, where a metric was and is watched."""
        if self._monitor is not None and "best" in state:
            self._monitor.best = state["best"]


def _place(history: History) -> tuple[int, int]:
    return history.steps, history.epochs


def _copy(source: Path, target: Path) -> None:
    with open(source, "rb") as file:
        replace_file(target, iter(lambda: file.read(1 << 20), b""))
