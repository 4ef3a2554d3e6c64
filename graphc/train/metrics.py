"""Metrics in the graph, and their means over batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphError, ShapeError
from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.op import Array
from graphc.ir.operators import Operand

__all__ = ["Means", "accuracy", "binary_accuracy", "check_counted"]


def accuracy(logits: Operand, labels: Operand) -> Value:
    """The share of examples whose largest logit is that of their label, 0-d float32.

    Args:
        logits: (..., classes), scores or probabilities.
        labels: integers (...), or one-hot or probabilities (..., classes), of which the largest counts.

    Raises:
        ShapeError: the shapes do not fit.
    """
    scores, truth = ops.as_value(logits), ops.as_value(labels)
    if truth.ndim == scores.ndim and scores.ndim:
        truth = ops.argmax(truth, -1)
    if truth.ndim != scores.ndim - 1:
        raise ShapeError(
            f"logits of type {scores.type} and labels of type {truth.type}",
            expected="labels with the axes of the logits, without the last one or with all",
            remedy="use accuracy for (..., classes) logits, and binary_accuracy for one logit an example",
        )
    return ops.mean(ops.cast(ops.equal(ops.argmax(scores, -1), truth), "float32"))


def binary_accuracy(logits: Operand, targets: Operand, threshold: float = 0.0) -> Value:
    """The share of items where ``logits > threshold`` is what ``targets`` says, 0-d float32.

    Args:
        logits: any shape; for probabilities take ``threshold=0.5``.
        targets: bool, or numbers of which those above one half are true; broadcast with the logits.
        threshold: what a positive answer exceeds.
    """
    truth = ops.as_value(targets)
    positive = truth if truth.dtype.is_bool else ops.greater(truth, 0.5)
    return ops.mean(ops.cast(ops.equal(ops.greater(logits, threshold), positive), "float32"))


class Means:
    """Weighted means of the scalars that calls return."""

    def __init__(self, names: Sequence[str] | None) -> None:
        self.names = tuple(names) if names is not None else None
        self.weight = 0
        self._sums: list[float] = []
        self._latest: list[float] = []

    def add(self, result: Any, weight: int) -> None:
        """Count a result: a scalar, a sequence of scalars, or a mapping from names to scalars.

        Raises:
            GraphError: it is something else, or does not fit the names.
        """
        values = _scalars(result)
        if not self._sums:
            self.names = _names(result, values, self.names)
            self._sums = [0.0] * len(values)
        self._latest = [float(value) for value in values]
        for index, value in enumerate(self._latest):
            self._sums[index] += value * weight
        self.weight += weight

    def add_stacked(self, results: Sequence[Array], weight: int) -> None:
        """Count the results of several calls: for each scalar an array of its values, one after another.

        Gives the bits that counting one by one gives.

        Raises:
            GraphError: they are no scalars, or do not fit the names.
        """
        if not self._sums:
            first = [array[0] for array in results]
            self.names = _names(first, first, self.names)
            self._sums = [0.0] * len(first)
        columns = [array.astype(np.float64) for array in results]
        self._latest = [float(column[-1]) for column in columns]
        with np.errstate(all="ignore"):
            for index, column in enumerate(columns):
                self._sums[index] = float(np.add.accumulate(np.concatenate(([self._sums[index]], column * weight)))[-1])
        self.weight += weight * len(columns[0])

    def latest(self) -> dict[str, float]:
        """The scalars of the last result, by name."""
        return dict(zip(self.names or (), self._latest, strict=True))

    def as_dict(self) -> dict[str, float]:
        """The means so far, by name."""
        return {name: total / self.weight for name, total in zip(self.names or (), self._sums, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """The names, the sums and their weight, as JSON has them."""
        return {"names": self.names, "sums": self._sums, "weight": self.weight}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.names = tuple(state["names"]) if state["names"] is not None else None
        self._sums = list(state["sums"])
        self.weight = state["weight"]


def check_counted(examples: int) -> None:
    """Check that means are of something.

    Raises:
        GraphError: there were no examples.
    """
    if not examples:
        raise GraphError(
            "the data gave no batch",
            expected="at least one batch, of at least one example",
            remedy="pass arrays, or an iterable that can be iterated again",
        )


def _scalars(result: Any) -> list[Any]:
    if isinstance(result, tuple | list):
        return list(result)
    return list(result.values()) if isinstance(result, Mapping) else [result]


def _names(result: Any, values: Sequence[Any], names: tuple[str, ...] | None) -> tuple[str, ...]:
    shapes = [np.shape(value) for value in values]
    if any(shapes) or not values:
        raise GraphError(
            f"a call returned {', '.join(f'shape {shape}' for shape in shapes) or 'nothing'}",
            expected="scalars of shape (): the loss, and metrics after it",
            remedy="reduce them with .mean() in the graph",
        )
    if isinstance(result, Mapping):
        return tuple(map(str, result))
    if names is None:
        return ("loss", *(f"metric_{index}" for index in range(1, len(values))))
    if len(names) != len(values):
        raise GraphError(
            f"a call returned {len(values)} scalars for the names {', '.join(names)}",
            expected=f"{len(names)} scalars",
            remedy="give one name for each, or let the function return a dict from names to scalars",
        )
    return names
