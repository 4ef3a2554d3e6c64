"""Cross-entropy where it is written out with log-softmax, softmax or logsumexp.

The target may be probabilities, or labels: by :func:`~graphc.gather`, by one-hot rows that compare them with the
numbers of the classes, or by rows of the unit matrix. What a label means that is no class is kept: a one-hot row of
zeros gives a loss of 0, an index of :func:`~graphc.gather` counts from the end or is reported when the graph is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from graphc.ir import ops
from graphc.ir.build import apply
from graphc.ir.dims import Dim, Size
from graphc.ir.graph import Node, Value
from graphc.ir.ops.cross_entropy import CROSS_ENTROPY, CrossEntropyAttrs
from graphc.ir.types import DType, Shape, int64
from graphc.passes.rewrite import Matcher
from graphc.passes.rules.arithmetic import preserves
from graphc.passes.rules.constants import array_of, scalar_of
from graphc.passes.rules.softmax import logsumexp_of, through_reshapes

__all__ = [
    "log_of_chosen_softmax",
    "logsumexp_less_chosen",
    "picked_log_softmax",
    "summed_log_softmax",
]


class Labels(NamedTuple):
    """One label for each row, and whether a label that is no class stands for a row of zeros."""

    values: Value
    may_be_none: bool


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


# --- targets --------------------------------------------------------------------------------------


def _labels_of(target: Value, shape: Shape, axis: int, matcher: Matcher) -> Labels | None:
    """The labels of a target of this shape that is one-hot along ``axis``, as numbers or as a condition."""
    if target.shape != shape:
        return None
    if node := matcher.producer(target, "take"):
        return _labels_of_unit_rows(node, axis, matcher)
    node = matcher.producer(target, "cast")
    node = matcher.producer(node.inputs[0] if node else target, "equal")
    if node is None or not node.inputs[0].dtype.is_integer:
        return None
    for labels, classes in (node.inputs, node.inputs[::-1]):
        padded = (1,) * (len(shape) - labels.ndim) + labels.shape
        rows = _without(shape, axis)
        if _are_classes(classes, shape, axis, matcher) and padded[axis] == 1 and _without(padded, axis) == rows:
            return Labels(ops.reshape(_original(labels, matcher), rows), may_be_none=True)
    return None


def _original(labels: Value, matcher: Matcher) -> Value:
    """The labels before reshapes and casts that left their numbers as they are."""
    while node := matcher.producer(labels, "reshape", "cast"):
        (source,) = node.inputs
        if not source.dtype.is_integer or not preserves(source.dtype, labels.dtype):
            break
        labels = source
    return labels


def _labels_of_unit_rows(node: Node, axis: int, matcher: Matcher) -> Labels | None:
    """The labels by which rows of the unit matrix are taken."""
    matrix, labels = node.inputs
    if node.attrs.axis != 0 or axis != labels.ndim or matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        return None
    array = array_of(matrix, matcher)
    cast = matcher.producer(matrix, "cast")
    equal = cast and matcher.producer(cast.inputs[0], "equal")
    if equal:
        first, second = equal.inputs
        is_unit = any(
            _are_classes(rows, matrix.shape, 0, matcher) and _are_classes(columns, matrix.shape, 1, matcher)
            for rows, columns in ((first, second), (second, first))
        )
    else:
        is_unit = array is not None and np.count_nonzero(array) == len(array) and bool((array.diagonal() == 1).all())
    return Labels(labels, may_be_none=False) if is_unit else None


def _are_classes(value: Value, shape: Shape, axis: int, matcher: Matcher) -> bool:
    """Whether a value is 0, 1, ... along ``axis``, and so meets an operand of ``shape``."""
    count = shape[axis]
    if node := matcher.producer(value, "broadcast_to"):
        value = node.inputs[0]
    padded = (1,) * (len(shape) - value.ndim) + value.shape
    if padded != tuple(count if place == axis else 1 for place in range(len(shape))):
        return False
    while _holds(value.dtype, count):
        if (array := array_of(value, matcher)) is not None:
            return np.array_equal(array.reshape(-1), np.arange(array.size))
        if node := matcher.producer(value, "iota"):
            return bool(node.attrs.size == count)
        node = matcher.producer(value, "reshape", "cast")
        if node is None:
            return False
        value = node.inputs[0]
    return False


def _holds(dtype: DType, count: Size) -> bool:
    """Whether an integer dtype has the numbers of all classes; that there are fewer than 2**31 is taken for granted."""
    if not dtype.is_integer:
        return False
    return dtype.itemsize >= 4 if isinstance(count, Dim) else count - 1 <= np.iinfo(dtype.numpy).max


# --- the loss -------------------------------------------------------------------------------------


def _loss(logits: Value, axis: int, target: Value, ignore_index: int | None) -> Value:
    rows = ops.moveaxis(logits, axis, -1)
    return apply(CROSS_ENTROPY, (rows, target), CrossEntropyAttrs(ignore_index)).outputs[0]


def _label_loss(logits: Value, axis: int, labels: Labels, without_class: float) -> Value:
    """``-log_softmax(logits)[label]`` for each row; for a row of zeros, the loss that it has."""
    values, count = ops.cast(labels.values, int64), logits.shape[axis]
    if not labels.may_be_none:
        from_start = ops.where(ops.less(values, 0), ops.add(values, count), values)
        return _loss(logits, axis, from_start, None)
    valid = ops.logical_and(ops.greater_equal(values, 0), ops.less(values, count))
    losses = _loss(logits, axis, ops.where(valid, values, -1), -1)
    return losses if without_class == 0 else ops.where(valid, losses, without_class)


def _has_classes(logits: Value, axis: int) -> bool:
    return logits.shape[axis] != 0


def _chosen_by(index: Value, axis: int) -> Labels | None:
    """The labels by which :func:`~graphc.gather` picks one item of each row."""
    if index.shape[axis] != 1:
        return None
    return Labels(ops.reshape(index, _without(index.shape, axis)), may_be_none=False)


def _picked_loss(picked: Node, matcher: Matcher, *names: str) -> Value | None:
    """The loss of the labels by which ``picked`` gathers from an operation on logits along the same axis."""
    inner = matcher.producer(picked.inputs[0], *names)
    if inner is None or inner.attrs.axis != picked.attrs.axis or not _has_classes(inner.inputs[0], inner.attrs.axis):
        return None
    labels = _chosen_by(picked.inputs[1], picked.attrs.axis)
    return None if labels is None else _label_loss(inner.inputs[0], inner.attrs.axis, labels, 0)


def picked_log_softmax(node: Node, matcher: Matcher) -> Value | None:
    """``gather(log_softmax(z), labels[:, None])`` is minus the cross-entropy."""
    loss = _picked_loss(node, matcher, "log_softmax")
    return None if loss is None else ops.negative(ops.reshape(loss, node.output.shape))


def summed_log_softmax(node: Node, matcher: Matcher) -> Value | None:
    """``sum(target * log_softmax(z))`` is minus the cross-entropy, summed over what other axes there are.

    The target is one-hot, or probabilities. A class of probability 0 and logit -inf adds 0, where 0 * -inf is NaN.
    """
    (terms,) = node.inputs
    opposite = matcher.producer(terms, "negative")
    if opposite:
        (terms,) = opposite.inputs
    for target, likelihood in _factors(terms, matcher):
        inner = matcher.producer(likelihood, "log_softmax")
        if inner is None or target.shape != likelihood.shape:
            continue
        (logits,), axis = inner.inputs, inner.attrs.axis
        if axis not in node.attrs.axes or not _has_classes(logits, axis):
            continue
        labels = _labels_of(target, logits.shape, axis, matcher)
        if labels is not None:
            losses = _label_loss(logits, axis, labels, 0)
        elif target.dtype.is_float:
            losses = _loss(logits, axis, ops.moveaxis(target, axis, -1), None)
        else:
            continue
        others = [other - (other > axis) for other in node.attrs.axes if other != axis]
        result = ops.reshape(ops.sum(losses, others), node.output.shape)
        return result if opposite else ops.negative(result)
    return None


def _factors(terms: Value, matcher: Matcher) -> Sequence[tuple[Value, Value]]:
    """What is multiplied, either first; or the condition where a term counts, and the term."""
    if node := matcher.producer(terms, "multiply"):
        return ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0]))
    node = matcher.producer(terms, "where")
    if node and scalar_of(node.inputs[2], matcher) == 0:
        return ((node.inputs[0], node.inputs[1]),)
    return ()


def log_of_chosen_softmax(node: Node, matcher: Matcher) -> Value | None:
    """``log(gather(softmax(z), labels[:, None]))``, and ``log(sum(one_hot * softmax(z)))``: minus the cross-entropy."""
    chosen = matcher.producer(through_reshapes(node.inputs[0], matcher), "gather", "sum")
    if chosen is None:
        return None
    loss = _picked_loss(chosen, matcher, "softmax") if chosen.op.name == "gather" else _summed_loss(chosen, matcher)
    return None if loss is None else ops.negative(ops.reshape(loss, node.output.shape))


def _summed_loss(node: Node, matcher: Matcher) -> Value | None:
    for target, share in _factors(node.inputs[0], matcher):
        inner = matcher.producer(share, "softmax")
        if (
            inner is None
            or node.attrs.axes != (inner.attrs.axis,)
            or not _has_classes(inner.inputs[0], inner.attrs.axis)
        ):
            continue
        labels = _labels_of(target, share.shape, inner.attrs.axis, matcher)
        if labels is not None:
            return _label_loss(inner.inputs[0], inner.attrs.axis, labels, float("inf"))
    return None


def logsumexp_less_chosen(node: Node, matcher: Matcher) -> Value | None:
    """``logsumexp(z) - gather(z, labels[:, None])`` is the cross-entropy."""
    total, chosen = node.inputs
    picked = matcher.producer(through_reshapes(chosen, matcher), "gather")
    found = picked and logsumexp_of(total, matcher)
    if not picked or not found or found.x is not picked.inputs[0] or found.axes != (picked.attrs.axis,):
        return None
    labels = _chosen_by(picked.inputs[1], picked.attrs.axis)
    if labels is None or not total.shape == chosen.shape == node.output.shape:
        return None
    return ops.reshape(_label_loss(found.x, picked.attrs.axis, labels, 0), node.output.shape)
