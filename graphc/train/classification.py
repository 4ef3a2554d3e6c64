"""Metrics of classifiers in the graph: accuracy among the first k, the confusion matrix and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from graphc.errors import DTypeError, GraphError, ShapeError
from graphc.ir import ops
from graphc.ir.dims import Size
from graphc.ir.graph import Value
from graphc.ir.operators import Operand

__all__ = ["Average", "confusion_matrix", "f1_score", "precision", "recall", "top_k_accuracy"]

Average = Literal["macro", "micro"]
"""The mean over classes, or one number from the counts of all classes together."""


def top_k_accuracy(logits: Operand, labels: Operand, k: int = 5) -> Value:
    """The share of examples whose label's logit is among the ``k`` largest, 0-d float32.

    Of equal logits the one of the lower class counts as larger. A NaN counts as larger than all numbers, and the label
    whose logit is NaN is never among the first.

    Args:
        logits: (..., classes), scores or probabilities.
        labels: integers (...).
        k: at least 1.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the labels are not integers.
        GraphError: ``k`` is below 1.
        IndexFault: at run time, a label is no class.
    """
    if k < 1:
        raise GraphError(f"k={k}", expected="at least 1")
    scores, truth = _scores_and_labels(logits, labels)
    chosen = ops.expand_dims(_or_fault(truth, scores.shape[-1]), -1)
    own = ops.gather(scores, chosen, -1)
    classes = ops.arange(scores.shape[-1])
    tied_before = ops.logical_and(ops.equal(scores, own), ops.less(classes, chosen))
    ahead = ops.logical_or(ops.logical_not(ops.less_equal(scores, own)), tied_before)
    return ops.mean(ops.cast(ops.less(ops.sum(ahead, -1), k), "float32"))


def confusion_matrix(logits: Operand, labels: Operand, ignore_index: int = -100) -> Value:
    """How many examples of each class were given each class, int64 (classes, classes): ``[truth, prediction]``.

    The prediction is the class of the largest logit; of equal ones the first. For precision, recall and F1 of a whole
    data set see :class:`graphc.train.Metric`.

    Args:
        logits: (..., classes), scores or probabilities; for one logit ``z`` an example pass
            ``gr.stack([gr.zeros_like(z), z], -1)``.
        labels: integers (...).
        ignore_index: examples with this label are not counted.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the labels are not integers.
        IndexFault: at run time, a label is neither a class nor ``ignore_index``.
    """
    scores, truth = _scores_and_labels(logits, labels)
    classes = scores.shape[-1]
    predictions = ops.one_hot(ops.reshape(ops.argmax(scores, -1), (-1,)), classes, dtype="int64")
    truth = ops.cast(ops.reshape(truth, (-1,)), "int64")
    counted = ops.not_equal(truth, ignore_index)
    rows = _or_fault(ops.where(counted, truth, 0), classes)
    counts = predictions * ops.expand_dims(ops.cast(counted, "int64"), -1)
    return ops.index_add(ops.zeros((classes, classes), "int64"), rows, counts)


def precision(confusion: Operand, average: Average = "macro") -> Value:
    """The share of a class's predictions that are right, 0-d float64; 0 for a class that was never predicted.

    Args:
        confusion: counts (classes, classes) of :func:`confusion_matrix`.
        average: ``macro`` is the mean over the classes that were seen or predicted; ``micro`` counts predictions of all
            classes alike, which is the accuracy.

    Raises:
        ShapeError: the counts are not square.
        GraphError: there is no such average.
    """
    return _averaged(confusion, average, lambda right, seen, predicted: _share(right, predicted))


def recall(confusion: Operand, average: Average = "macro") -> Value:
    """The share of a class's examples that were found, 0-d float64; 0 for a class without examples.

    The arguments and errors are those of :func:`precision`.
    """
    return _averaged(confusion, average, lambda right, seen, predicted: _share(right, seen))


def f1_score(confusion: Operand, average: Average = "macro") -> Value:
    """The harmonic mean of a class's precision and recall, ``2 right / (seen + predicted)``, 0-d float64.

    The arguments and errors are those of :func:`precision`.

    Source: van Rijsbergen, Information Retrieval, 1979, chapter 7, with equal weights.
    """
    return _averaged(confusion, average, lambda right, seen, predicted: _share(2.0 * right, seen + predicted))


def _averaged(confusion: Operand, average: Average, score: Callable[[Value, Value, Value], Value]) -> Value:
    """An average of a score: a function of the right predictions, the examples and the predictions of classes."""
    counts = ops.cast(confusion, "float64")
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError(
            f"a confusion matrix of type {counts.type}",
            expected="counts of shape (classes, classes)",
            remedy="make it with gr.train.confusion_matrix(logits, labels)",
        )
    if average not in ("macro", "micro"):
        raise GraphError(f"average={average!r}", expected="'macro' or 'micro'")
    right = ops.sum(counts * ops.eye(counts.shape[0], dtype="float64"), 1)
    seen, predicted = ops.sum(counts, 1), ops.sum(counts, 0)
    if average == "micro":
        return score(ops.sum(right), ops.sum(seen), ops.sum(predicted))
    present = ops.cast(ops.greater(seen + predicted, 0.0), "float64")
    return _share(ops.sum(score(right, seen, predicted)), ops.sum(present))


def _share(part: Value, whole: Value) -> Value:
    """The quotient; 0 of nothing."""
    return part / ops.where(ops.equal(whole, 0.0), 1.0, whole)


def _or_fault(labels: Value, classes: Size) -> Value:
    """The labels, of which negative ones are outside of the classes instead of counting from their end."""
    return ops.where(ops.less(labels, 0), ops.dim_size(classes), labels)


def _scores_and_labels(logits: Operand, labels: Operand) -> tuple[Value, Value]:
    scores, truth = ops.as_value(logits), ops.as_value(labels)
    if not truth.dtype.is_integer:
        raise DTypeError(
            f"labels of type {truth.type}",
            expected="integers",
            remedy="convert one-hot labels with gr.argmax(labels, -1)",
        )
    if truth.ndim != scores.ndim - 1:
        raise ShapeError(
            f"logits of type {scores.type} and labels of type {truth.type}",
            expected="labels with the axes of the logits, without the last one",
        )
    return scores, truth
