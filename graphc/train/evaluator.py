"""Metrics of whole data sets that are no means of those of batches: F1, perplexity, and others by formula."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.api import compile
from graphc.errors import GraphError, ShapeError
from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.op import Array
from graphc.ir.operators import Operand
from graphc.ir.ops import Variable
from graphc.ir.source import scope
from graphc.train.metrics import check_counted
from graphc.train.steps import Steps

__all__ = ["Evaluator", "Metric", "mean_over_items", "perplexity"]


class Metric:
    """A number over a whole data set: a function of sums over its examples.

    For instance::

        confusion = gr.train.confusion_matrix(logits, labels)
        f1 = gr.train.Metric(gr.train.f1_score, confusion)
        micro = gr.train.Metric(lambda counts: gr.train.f1_score(counts, "micro"), confusion)

    Args:
        finish: from the sums over all batches, float64 or int64, to a value of shape ().
        *sums: what to sum: values of a batch, of any shape without symbolic sizes.
    """

    def __init__(self, finish: Callable[..., Value], *sums: Operand) -> None:
        self.finish = finish
        self.sums = tuple(ops.as_value(value) for value in sums)


def mean_over_items(values: Operand, weights: Operand | None = None) -> Metric:
    """The mean over all items of all batches, whatever the number of items in each.

    Args:
        values: any shape, for instance the losses of all tokens of a batch.
        weights: broadcast with the values; a mask, for instance. Items of weight 0 may be NaN.
    """
    items = ops.as_value(values)
    weight = ops.broadcast_to(ops.cast(1.0 if weights is None else weights, "float64"), items.shape)
    weighted = ops.where(ops.equal(weight, 0.0), 0.0, weight * items)
    return Metric(ops.divide, ops.sum(weighted), ops.sum(weight))


def perplexity(losses: Operand, weights: Operand | None = None) -> Metric:
    """The exponential of the mean of losses in nats over all items of all batches.

    For instance::

        losses = gr.cross_entropy(logits, tokens, reduction="none")
        gr.train.perplexity(losses, tokens != padding)

    Args:
        losses: negative logarithms of probabilities, any shape.
        weights: broadcast with the losses; a mask, for instance.

    Source: Jelinek, Mercer, Bahl, Baker, Perplexity - a measure of the difficulty of speech recognition tasks, 1977.
    """
    mean = mean_over_items(losses, weights)
    return Metric(lambda *sums: ops.exp(mean.finish(*sums)), *mean.sums)


class Evaluator:
    """Metrics of a data set, summed over batches and finished in the graph: for :func:`evaluate` and validation.

    For instance::

        test = gr.train.Evaluator([x, t], {"loss": loss, "f1": gr.train.Metric(gr.train.f1_score, confusion)})
        gr.train.fit(step, data, names=["loss"], validation=(test, test_data))
        gr.train.evaluate(test, test_data)  # {"loss": ..., "f1": ...}
        test.total(confusion)  # the array of all examples, for plot_confusion_matrix

    Called with the arrays of one batch, it gives the metrics of that.

    Args:
        inputs: the placeholders of a batch.
        metrics: by name: a :class:`Metric`; or a value of shape () that is a mean over the batch, such as a loss, whose
            mean over the data is weighted by the sizes of batches: of the first axis of the first input.

    Raises:
        ShapeError: a metric is not of shape (), or what is to be summed has symbolic sizes.
        GraphError: there are no metrics, or no inputs.
    """

    def __init__(self, inputs: Value | Sequence[Value], metrics: Mapping[str, Value | Metric]) -> None:
        given = (inputs,) if isinstance(inputs, Value) else tuple(inputs)
        if not given or not metrics:
            raise GraphError(
                f"an evaluator of {len(metrics)} metrics with {len(given)} inputs", expected="at least one of each"
            )
        self.names = tuple(metrics)
        self._totals: dict[Value, Variable] = {}
        with scope("metrics"):
            size = ops.dim_size(given[0].shape[0]) if given[0].ndim else ops.constant(1, "int64")
            results = [self._result(name, _as_metric(name, metric, size)) for name, metric in metrics.items()]
            updates = {total: total + ops.cast(value, total.dtype) for value, total in self._totals.items()}
        self._add = compile(given, [], updates)
        self._finish = compile([], results)

    def _result(self, name: str, metric: Metric) -> Value:
        result = ops.as_value(metric.finish(*map(self._total_of, metric.sums)))
        if result.shape != ():
            raise ShapeError(f"the metric {name!r} is of type {result.type}", expected="a value of shape ()")
        return result

    def _total_of(self, value: Value) -> Variable:
        if value not in self._totals:
            if not all(isinstance(size, int) for size in value.shape):
                raise ShapeError(
                    f"a value of type {value.type} is to be summed over batches",
                    expected="one whose shape does not depend on the batch",
                    remedy="sum it over the axis of examples",
                    location=value.node.location,
                )
            dtype = "float64" if value.dtype.is_float else "int64"
            self._totals[value] = ops.variable(np.zeros(value.shape, dtype), value.name or "total")
        return self._totals[value]

    def __call__(self, *batch: Any) -> dict[str, float]:
        """The metrics of one batch, by name."""
        metrics = self.over([batch])
        assert metrics is not None
        return metrics

    def total(self, value: Value) -> Array:
        """The sum over the data that was evaluated last, of a value that a metric sums.

        Raises:
            GraphError: no metric sums it.
        """
        if value not in self._totals:
            raise GraphError(
                f"no metric sums {value!r}",
                expected="an operand of a gr.train.Metric of this evaluator",
            )
        return self._totals[value].value

    def over(self, batches: Iterable[Any], stop: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """The metrics over batches, by name; None where ``stop`` said, between two of them, to stop.

        Raises:
            GraphError: there were no examples.
        """
        for total in self._totals.values():
            total.value = np.zeros_like(total.value)
        examples = 0
        for made in Steps(self._add, batches)(lambda: None):
            examples += made.count * made.examples
            if stop():
                return None
        check_counted(examples)
        return dict(zip(self.names, map(float, self._finish()), strict=True))


def _as_metric(name: str, metric: Value | Metric, size: Value) -> Metric:
    """A metric; of a mean over a batch of ``size`` examples, its mean over the data."""
    if isinstance(metric, Metric):
        return metric
    if metric.shape != ():
        raise ShapeError(
            f"the metric {name!r} is of type {metric.type}",
            expected="a value of shape (), or a gr.train.Metric",
            remedy="for the mean over all items pass gr.train.mean_over_items(value)",
            location=metric.node.location,
        )
    weighted = ops.where(ops.equal(size, 0), 0.0, ops.cast(metric, "float64") * size)
    return Metric(ops.divide, weighted, size)
