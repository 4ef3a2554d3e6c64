"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

from graphc.errors import GraphError
from graphc.train.batches import Data, as_batches
from graphc.train.callbacks import Callback
from graphc.train.evaluation import batches_in_order
from graphc.train.history import History
from graphc.train.run import Run

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
    resume: bool | str | PathLike[str] = False,
) -> History:
    """Call a compiled training step for mini-batches of data, again and again.

    For instance::

        step = gr.compile([x, t], [loss, accuracy], updates=optimizer.updates(loss, model.parameters()))
        test = gr.compile([x, t], [loss, accuracy])
        history = gr.train.fit(
            step, (images, labels), epochs=5, batch_size=64, names=["loss", "accuracy"],
            validation=(test, (test_images, test_labels)),
        )

    Where the data are arrays and the step is a compiled function, steps follow one another without Python, as
    :meth:`graphc.Function.run_epoch` makes them, as far as callbacks allow it: see :meth:`Callback.period
    <graphc.train.Callback.period>`. This changes nothing but the time.

    Ctrl-C ends the run after the step that is being made, so that the state is whole; a second Ctrl-C ends it at once.

    With a :class:`graphc.train.Checkpoint` among the callbacks a run that was ended by anything can be resumed, and
    goes on with the same batches, random numbers and state: its results have the same bits as those of a run that was
    not stopped. The arguments must be the same, but for ``epochs``. Data that is an iterable must give the same batches
    in every epoch, or have a state: methods ``state_dict`` and ``load_state_dict``, after which its next iteration goes
    on behind the batch that it gave last.

    Args:
        step: takes the arrays of a batch; returns the loss, the loss and metrics, or a mapping from names to scalars.
            Each is a mean over the batch, so the means of an epoch are weighted by the sizes of batches.
        data: an array, a tuple of arrays with examples along their first axes, or an iterable of batches (each an
            array, or a tuple or list of the arguments of ``step``), which is iterated once for every epoch.
        epochs: how often to go through the data, what was done before a resumption counted.
        batch_size: examples in a batch of arrays; batches of an iterable are taken as they come.
        names: of the scalars; by default ``loss``, ``metric_1``, ``metric_2`` and so on.
        validation: a function like ``step`` that updates nothing, and its data; called after every epoch.
        callbacks: called along the way, in this order.
        shuffle: whether each epoch takes the examples of arrays in a new order.
        seed: of the generator of the orders: the same seed gives the same batches.
        drop_last: whether examples of arrays that do not fill the last batch are left out.
        progress: whether a progress bar is shown on standard error.
        resume: a checkpoint, or a folder of them, to go on from; True for the last one of the first
            :class:`graphc.train.Checkpoint` among the callbacks, or a new run where there is none yet.

    Raises:
        GraphError: the data or the results of ``step`` are not as described, or what is resumed is damaged or was
            saved by another program.
        FeedError: arrays of a batch do not fit the arguments of ``step``.
    """
    if epochs < 0:
        raise GraphError(f"epochs={epochs}", expected="at least 0")
    return Run(
        step=step,
        batches=as_batches(data, epochs, batch_size, shuffle, seed, drop_last),
        validation=validation and (validation[0], batches_in_order(validation[1], batch_size, epochs)),
        names=names,
        callbacks=callbacks,
        epochs=epochs,
        progress=progress,
        resume=resume,
    ).go()
