"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphc.errors import GraphError
from graphc.train.batches import Batches, Data, as_batch, as_batches, examples_in
from graphc.train.callbacks import Callback
from graphc.train.evaluation import batches_in_order, checked_means, mean_results
from graphc.train.history import History
from graphc.train.interrupt import Interrupt, deferred_interrupt
from graphc.train.metrics import Means
from graphc.train.progress import ProgressBar

__all__ = ["fit"]


def fit(
    step: Callable[..., Any],
    data: Data,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    names: Sequence[str] | None = None,
    validation: tuple[Callable[..., Any], Data] | None = None,
    callbacks: Sequence[Callback] = (),
    shuffle: bool = True,
    seed: int = 0,
    drop_last: bool = False,
    progress: bool = True,
) -> History:
    """Call a compiled training step for mini-batches of data, again and again.

    For instance::

        step = gr.compile([x, t], [loss, accuracy], updates=optimizer.updates(loss, model.parameters()))
        test = gr.compile([x, t], [loss, accuracy])
        history = gr.train.fit(
            step, (images, labels), epochs=5, batch_size=64, names=["loss", "accuracy"],
            validation=(test, (test_images, test_labels)),
        )

    Ctrl-C ends the run after the step that is being made, so that the state is whole; a second Ctrl-C ends it at once.

    Args:
        step: takes the arrays of a batch; returns the loss, the loss and metrics, or a mapping from names to scalars.
            Each is a mean over the batch, so the means of an epoch are weighted by the sizes of batches.
        data: an array, a tuple of arrays with examples along their first axes, or an iterable of batches (each an
            array, or a tuple or list of the arguments of ``step``), which is iterated once for every epoch.
        epochs: how often to go through the data.
        batch_size: examples in a batch of arrays; batches of an iterable are taken as they come.
        names: of the scalars; by default ``loss``, ``metric_1``, ``metric_2`` and so on.
        validation: a function like ``step`` that updates nothing, and its data; called after every epoch.
        callbacks: called along the way, in this order.
        shuffle: whether each epoch takes the examples of arrays in a new order.
        seed: of the generator of the orders: the same seed gives the same batches.
        drop_last: whether examples of arrays that do not fill the last batch are left out.
        progress: whether a progress bar is shown on standard error.

    Raises:
        GraphError: the data or the results of ``step`` are not as described.
        FeedError: arrays of a batch do not fit the arguments of ``step``.
    """
    if epochs < 0:
        raise GraphError(f"epochs={epochs}", expected="at least 0")
    return _Run(
        step=step,
        batches=as_batches(data, epochs, batch_size, shuffle, seed, drop_last),
        validation=validation and (validation[0], batches_in_order(validation[1], batch_size, epochs)),
        names=names,
        callbacks=callbacks,
        epochs=epochs,
        progress=progress,
    ).run()


@dataclass
class _Run:
    step: Callable[..., Any]
    batches: Iterable[Any]
    validation: tuple[Callable[..., Any], Iterable[Any]] | None
    names: Sequence[str] | None
    callbacks: Sequence[Callback]
    epochs: int
    progress: bool
    history: History = field(default_factory=History)

    def run(self) -> History:
        with deferred_interrupt() as interrupt:
            for callback in self.callbacks:
                callback.on_train_begin(self.history)
            for epoch in range(1, self.epochs + 1):
                if self._epoch(epoch, interrupt):
                    break
            self.history.interrupted = interrupt.requested
            for callback in self.callbacks:
                callback.on_train_end(self.history)
        return self.history

    def _epoch(self, epoch: int, interrupt: Interrupt) -> bool:
        """Train and validate once; whether the run is to end."""
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch)
        total = self.batches.examples if isinstance(self.batches, Batches) else None
        with ProgressBar(f"epoch {epoch}/{self.epochs}", total, self.progress) as bar:
            start = time.perf_counter()
            means = Means(self.names)
            if self._steps(means, bar, interrupt):
                return True
            seconds = time.perf_counter() - start
            metrics = checked_means(means)
            if self.validation is not None:
                function, batches = self.validation
                results = mean_results(function, batches, means.names, lambda: interrupt.requested)
                if results is None:
                    return True
                metrics |= {f"validation_{name}": value for name, value in results.items()}
            bar.finish(metrics)
        self.history.add(metrics, seconds, means.weight)
        ends = [callback.on_epoch_end(epoch, dict(metrics)) for callback in self.callbacks]
        self.history.stopped = any(ends)
        return self.history.stopped or interrupt.requested

    def _steps(self, means: Means, bar: ProgressBar, interrupt: Interrupt) -> bool:
        """Make a step for each batch; whether the run is to end."""
        for item in self.batches:
            batch = as_batch(item)
            examples = examples_in(batch)
            result = self.step(*batch)
            self.history.steps += 1
            means.add(result, examples)
            bar.advance(examples, means)
            if self.callbacks and self._batch_end(means):
                self.history.stopped = True
                return True
            if interrupt.requested:
                return True
        return False

    def _batch_end(self, means: Means) -> bool:
        ends = [callback.on_batch_end(self.history.steps, means.latest()) for callback in self.callbacks]
        return any(ends)
