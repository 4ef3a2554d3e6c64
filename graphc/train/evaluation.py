"""Means of a function's results over a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from graphc.train.batches import Data, as_batches
from graphc.train.evaluator import Evaluator
from graphc.train.metrics import Means, check_counted
from graphc.train.steps import Steps

__all__ = ["evaluate"]


def evaluate(
    function: Callable[..., Any], data: Data, batch_size: int = 256, names: Sequence[str] | None = None
) -> dict[str, float]:
    """The means, over all examples, of the scalars that a function returns for batches.

    Args:
        function: takes the arrays of a batch; returns a scalar, several, or a mapping from names to scalars, each a
            mean over the batch. Or an :class:`Evaluator`, for metrics that are no means, such as F1.
        data: an array, a tuple of arrays with examples along their first axes, or an iterable of batches.
        batch_size: examples in a batch; batches of an iterable are taken as they come.
        names: of the scalars; by default ``loss``, ``metric_1``, ``metric_2`` and so on. An evaluator has its own.

    Raises:
        GraphError: the function returns something else, or there is no data.
    """
    means = mean_results(function, batches_in_order(data, batch_size), names)
    assert means is not None
    return means


def batches_in_order(data: Data, batch_size: int, epochs: int = 1) -> Iterable[Any]:
    """Batches of data, for every epoch in the same order."""
    return as_batches(data, epochs, batch_size, shuffle=False, seed=0, drop_last=False)


def mean_results(
    function: Callable[..., Any],
    batches: Iterable[Any],
    names: Sequence[str] | None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """The means of what a function returns for batches, or the metrics of an evaluator.

    None where ``stop`` said, between two batches, to stop.
    """
    if isinstance(function, Evaluator):
        return function.over(batches, stop)
    means = Means(names)
    for made in Steps(function, batches)(lambda: None):
        made.add_to(means)
        if stop():
            return None
    return checked_means(means)


def checked_means(means: Means) -> dict[str, float]:
    """The means.

    Raises:
        GraphError: nothing was counted.
    """
    check_counted(means.weight)
    return means.as_dict()
