"""A training run: what it was given, how far it is, and the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from graphc.errors import GraphError
from graphc.state import numbered
from graphc.train.callbacks import Callback
from graphc.train.checkpoint import SavedCheckpoint
from graphc.train.checkpoint_callback import Checkpoint
from graphc.train.evaluation import checked_means, mean_results
from graphc.train.history import History
from graphc.train.interrupt import Interrupt, deferred_interrupt
from graphc.train.metrics import Means
from graphc.train.parts import Stateful
from graphc.train.progress import ProgressBar
from graphc.train.steps import Steps

__all__ = ["Run"]


@dataclass
class Run:
    """A run of :func:`graphc.train.fit`, whose arguments it has, with batches for the data.

    Attributes:
        history: what happened so far.
        ended: whether no step follows.
    """

    step: Callable[..., Any]
    batches: Iterable[Any]
    validation: tuple[Callable[..., Any], Iterable[Any]] | None
    names: Sequence[str] | None
    callbacks: Sequence[Callback]
    epochs: int
    progress: bool
    resume: bool | str | PathLike[str] = False
    history: History = field(default_factory=History)
    ended: bool = False

    def __post_init__(self) -> None:
        self._maker = Steps(self.step, self.batches)
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        """Nothing was done yet of the epoch that is not finished."""
        self._means = Means(self.names)
        self._done = 0
        self._seconds = 0.0
        self._trained = False  # whether only the validation is left

    def state_dict(self) -> dict[str, Any]:
        """How far the run is, as JSON has it; where the batches are is part of it."""
        return {
            "history": self.history.state_dict(),
            "steps_of_epoch": self._done,
            "trained_epoch": self._trained,
            "means_of_epoch": self._means.state_dict(),
            "seconds_of_epoch": self._seconds,
            "batches": self.batches.state_dict() if isinstance(self.batches, Stateful) else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave.

        Raises:
            GraphError: the batches were other ones.
        """
        stateful = isinstance(self.batches, Stateful)
        if stateful != (state["batches"] is not None):
            raise GraphError(
                f"the data is {'arrays or has' if stateful else 'an iterable without'} a state, unlike that of the run",
                expected="the data that the run had",
            )
        if isinstance(self.batches, Stateful):
            self.batches.load_state_dict(state["batches"])
        self.history.load_state_dict(state["history"])
        self._means.load_state_dict(state["means_of_epoch"])
        self._done, self._trained = state["steps_of_epoch"], state["trained_epoch"]
        self._seconds = state["seconds_of_epoch"]

    def named_callbacks(self) -> dict[str, Callback]:
        """The callbacks by names that are the same in a resumed run: those of their classes, numbered."""
        names = numbered(f"callback_{type(callback).__name__}" for callback in self.callbacks)
        return dict(zip(names, self.callbacks, strict=True))

    def go(self) -> History:
        """Train for the epochs that are left."""
        with deferred_interrupt() as interrupt:
            self._begin()
            for epoch in range(self.history.epochs + 1, self.epochs + 1):
                if self._epoch(epoch, interrupt):
                    break
            self.history.interrupted = interrupt.requested
            self.ended = True
            self._safe_point()
            for callback in self.callbacks:
                callback.on_train_end(self.history)
        return self.history

    def _begin(self) -> None:
        saved = self._resume() if self.resume else None
        for callback in self.callbacks:
            callback.on_train_begin(self.history)
        if saved is not None:
            named = self.named_callbacks()
            saved.load({name: named[name] for name in saved.info.parts if name in named})

    def _resume(self) -> SavedCheckpoint | None:
        for callback in self.callbacks:
            if isinstance(callback, Checkpoint):
                return callback.resume(self, None if isinstance(self.resume, bool) else self.resume)
        raise GraphError(
            f"resume={self.resume!r} without a Checkpoint among the callbacks",
            expected="one, which knows the model and the optimizer",
            remedy="pass callbacks=[gr.train.Checkpoint(folder, model=model, optimizer=optimizer)]",
        )

    def _epoch(self, epoch: int, interrupt: Interrupt) -> bool:
        """Train and validate once; whether the run is to end."""
        if self._stops([callback.on_epoch_begin(epoch) for callback in self.callbacks]):
            return True
        total = getattr(self.batches, "examples", None)
        with ProgressBar(f"epoch {epoch}/{self.epochs}", total, self.progress, self._means.weight) as bar:
            if not self._trained and self._steps(bar, interrupt):
                return True
            self._trained = True
            metrics = checked_means(self._means)
            if self.validation is not None:
                function, batches = self.validation
                results = mean_results(function, batches, self._means.names, lambda: interrupt.requested)
                if results is None:
                    return True
                metrics |= {f"validation_{name}": value for name, value in results.items()}
            bar.finish(metrics)
        self.history.add(metrics, self._seconds, self._means.weight)
        self._begin_epoch()
        stops = self._stops([callback.on_epoch_end(epoch, dict(metrics)) for callback in self.callbacks])
        self._safe_point()
        return stops or interrupt.requested

    def _steps(self, bar: ProgressBar, interrupt: Interrupt) -> bool:
        """Make a step for each batch that is left of the epoch; whether the run is to end."""
        start = time.perf_counter() - self._seconds
        periods = [period for callback in self.callbacks if (period := callback.period()) is not None]

        def most() -> int | None:
            return min((period - self.history.steps % period for period in periods), default=None)

        for made in self._maker(None if 1 in periods else most, self._done):
            self.history.steps += made.count
            self._done += made.count
            made.add_to(self._means)
            self._seconds = time.perf_counter() - start
            bar.advance(made.count * made.examples, self._means)
            if self.callbacks and self._batch_end():
                return True
            if interrupt.requested:
                return True
        return False

    def _batch_end(self) -> bool:
        latest = self._means.latest
        stops = self._stops([callback.on_batch_end(self.history.steps, latest()) for callback in self.callbacks])
        self._safe_point()
        return stops

    def _stops(self, answers: list[bool | None]) -> bool:
        """Whether a callback ends the run."""
        self.history.stopped = any(answers)
        return self.history.stopped

    def _safe_point(self) -> None:
        for callback in self.callbacks:
            callback.on_safe_point(self)
