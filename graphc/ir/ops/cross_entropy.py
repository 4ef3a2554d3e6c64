"""Cross-entropy of logits and a target: labels, or probabilities of the classes.

With p = softmax(z), the loss of a row is log sum exp z - z[label], and its gradient is p - one_hot(label); for
probabilities t it is (sum t) log sum exp z - t.z, and the gradient is (sum t) p - t (Bishop 2006, section 4.3.4).

Log sum exp z is m + s, where m is the largest item of z and s = log sum exp(z - m). The two are kept apart, because
their sum is rounded to the precision of m: the loss is s - (z[label] - m), and p is exp((z - m) - s). As results do not
depend on what is subtracted, m is a constant to differentiation, and the gradient of s is p.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from graphc.errors import DTypeError, GraphError, IndexFault, ShapeError
from graphc.ir.build import apply
from graphc.ir.dims import Size
from graphc.ir.graph import Node, Value
from graphc.ir.op import Array, OpDef, Sample, registry
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import add, divide, multiply, negative, subtract
from graphc.ir.ops.choice import where
from graphc.ir.ops.comparison import equal, less, not_equal
from graphc.ir.ops.conversion import cast, float_dtype
from graphc.ir.ops.creation import arange
from graphc.ir.ops.differentiation import stop_gradient
from graphc.ir.ops.index import gather
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.reduce import max, sum
from graphc.ir.ops.shape import expand_dims, moveaxis, squeeze
from graphc.ir.ops.statistics import mean, size_value
from graphc.ir.ops.transcendental import exp, log
from graphc.ir.types import DType, TensorType, int64, normalize_axis, shape_text, unify
from graphc.record import record

__all__ = ["cross_entropy", "nll_loss"]

Reduction: TypeAlias = Literal["mean", "sum", "none"]


@record
class CrossEntropyAttrs:
    """Rows whose label is ``ignore_index`` have loss 0 and gradient 0; None where no row is ignored."""

    ignore_index: int | None = None


def same_shape(left: Sequence[Size], right: Sequence[Size]) -> bool:
    return len(left) == len(right) and all(unify(a, b) is not None for a, b in zip(left, right, strict=True))


def _check(logits: TensorType, target: TensorType) -> None:
    if not logits.dtype.is_float:
        raise DTypeError(f"logits of dtype {logits.dtype}", expected="float32 or float64", remedy="cast them")
    if logits.rank == 0 or logits.shape[-1] == 0:
        raise ShapeError(
            f"logits of shape {shape_text(logits.shape)}", expected="an axis of classes, at least one of them"
        )
    if target.dtype.is_bool or (target.dtype.is_float and target.dtype != logits.dtype):
        raise DTypeError(
            f"a target of dtype {target.dtype}",
            expected=f"labels of an integer dtype, or probabilities of dtype {logits.dtype}",
            remedy="cast it",
        )
    wanted = logits.shape if target.dtype.is_float else logits.shape[:-1]
    if not same_shape(target.shape, wanted):
        what = "probabilities" if target.dtype.is_float else "labels"
        other = "integer labels" if target.dtype.is_float else "float probabilities"
        raise ShapeError(
            f"{what} of shape {shape_text(target.shape)} for logits of shape {shape_text(logits.shape)}",
            expected=f"shape {shape_text(wanted)}",
            remedy=f"if the target is meant as {other}, convert its dtype with .astype",
        )


def _infer(attrs: CrossEntropyAttrs, logits: TensorType, target: TensorType) -> tuple[TensorType, ...]:
    _check(logits, target)
    return (TensorType(logits.dtype, logits.shape[:-1]),) * 3


def _infer_grad(
    attrs: CrossEntropyAttrs,
    logits: TensorType,
    target: TensorType,
    largest: TensorType,
    log_sum: TensorType,
    g: TensorType,
) -> TensorType:
    _check(logits, target)
    for rows in (largest, log_sum, g):
        if rows.dtype != logits.dtype or not same_shape(rows.shape, logits.shape[:-1]):
            raise ShapeError(f"rows of type {rows}", expected=f"{TensorType(logits.dtype, logits.shape[:-1])}")
    return logits


def _one_hot(attrs: CrossEntropyAttrs, target: Array, classes: int) -> tuple[Array, Array]:
    """Which items the labels choose, as bool[..., classes], and which rows count, as bool[..., 1].

    Raises:
        IndexFault: a label is not a class.
    """
    counted = np.ones(target.shape, bool) if attrs.ignore_index is None else np.asarray(target != attrs.ignore_index)
    wrong = counted & ((target < 0) | (target >= classes))
    if np.any(wrong):
        raise IndexFault(
            f"cross_entropy: label {target[wrong].ravel()[0]} at position {int(np.argmax(wrong.ravel()))}",
            expected=f"labels from 0 to {classes - 1}, or ignore_index ({attrs.ignore_index})",
        )
    return (np.arange(classes) == target[..., None]) & counted[..., None], counted[..., None]


def _evaluate(attrs: CrossEntropyAttrs, logits: Array, target: Array) -> tuple[Array, Array, Array]:
    with np.errstate(all="ignore"):
        largest = np.max(logits, -1)
        shifted = logits - largest[..., None]
        log_sum = np.log(np.sum(np.exp(shifted), -1))
        if target.dtype.kind == "f":
            loss = log_sum * np.sum(target, -1) - np.sum(np.where(target == 0, 0, target * shifted), -1)
        else:
            chosen, counted = _one_hot(attrs, target, logits.shape[-1])
            loss = np.where(counted[..., 0], log_sum - np.sum(np.where(chosen, shifted, 0), -1), 0)
    return np.asarray(loss, logits.dtype), largest, log_sum


def _evaluate_grad(
    attrs: CrossEntropyAttrs, logits: Array, target: Array, largest: Array, log_sum: Array, g: Array
) -> Array:
    with np.errstate(all="ignore"):
        share = np.exp((logits - largest[..., None]) - log_sum[..., None])
        if target.dtype.kind == "f":
            result = (share * np.sum(target, -1, keepdims=True) - target) * g[..., None]
        else:
            chosen, counted = _one_hot(attrs, target, logits.shape[-1])
            result = np.where(counted, (share - chosen) * g[..., None], 0)
    return np.asarray(result, logits.dtype)


def _chosen(logits: Value, target: Value) -> Value:
    """Whether a label chooses an item: bool, of the shape of the logits."""
    return equal(expand_dims(target, -1), arange(logits.shape[-1]))


def _counted(node: Node, rows: Value) -> Value:
    """The rows with 0 where the label is ignored."""
    return _without_ignored(rows, node.inputs[1], node.attrs.ignore_index)


def _without_ignored(rows: Value, target: Value, ignore_index: int | None) -> Value:
    return rows if ignore_index is None else where(equal(target, ignore_index), 0, rows)


def _shifted(logits: Value, largest: Value) -> Value:
    return subtract(logits, expand_dims(largest, -1))


def _share(logits: Value, largest: Value, log_sum: Value) -> Value:
    """The softmax of the logits."""
    return exp(subtract(_shifted(logits, largest), expand_dims(log_sum, -1)))


def _vjp(
    node: Node, g: Value | None, g_largest: Value | None, g_log_sum: Value | None
) -> tuple[Value | None, Value | None]:
    logits, target = node.inputs
    _, largest, log_sum = node.outputs
    to_logits: Value | None = None
    to_target: Value | None = None
    if g is not None:
        to_logits = apply(CROSS_ENTROPY_GRAD, (logits, target, largest, log_sum, g), node.attrs).output
        if target.dtype.is_float:
            to_target = multiply(subtract(expand_dims(log_sum, -1), _shifted(logits, largest)), expand_dims(g, -1))
    if g_log_sum is not None:
        part = multiply(_share(logits, largest, log_sum), expand_dims(g_log_sum, -1))
        to_logits = part if to_logits is None else add(to_logits, part)
    return to_logits, to_target


def _decompose(node: Node) -> Sequence[Value]:
    logits, target = node.inputs
    largest = stop_gradient(max(logits, -1))
    shifted = _shifted(logits, largest)
    log_sum = log(sum(exp(shifted), -1))
    if target.dtype.is_float:
        inner = sum(where(equal(target, 0), 0.0, multiply(target, shifted)), -1)
        return subtract(multiply(log_sum, sum(target, -1)), inner), largest, log_sum
    loss = subtract(log_sum, sum(where(_chosen(logits, target), shifted, 0.0), -1))
    return _counted(node, loss), largest, log_sum


def _grad_vjp(node: Node, g: Value) -> tuple[Value, Value | None, Value, Value, Value]:
    """The derivatives of ``(share * weight - target) * scale``, where ``share = exp((logits - max) - log_sum)``."""
    logits, target, largest, log_sum, scale = node.inputs
    share = _share(logits, largest, log_sum)
    scaled = multiply(g, expand_dims(_counted(node, scale), -1))
    if target.dtype.is_float:
        weighted = multiply(share, sum(target, -1, keepdims=True))
        to_target = subtract(sum(multiply(scaled, share), -1, keepdims=True), scaled)
        to_scale = sum(multiply(g, subtract(weighted, target)), -1)
    else:
        weighted, to_target = share, None
        one_hot = cast(_chosen(logits, target), logits.dtype)
        to_scale = _counted(node, sum(multiply(g, subtract(share, one_hot)), -1))
    to_logits = multiply(scaled, weighted)
    to_shift = negative(sum(to_logits, -1))
    return to_logits, to_target, to_shift, to_shift, to_scale


def _decompose_grad(node: Node) -> Sequence[Value]:
    logits, target, largest, log_sum, scale = node.inputs
    share = _share(logits, largest, log_sum)
    if target.dtype.is_float:
        difference = subtract(multiply(share, sum(target, -1, keepdims=True)), target)
    else:
        difference = subtract(share, cast(_chosen(logits, target), logits.dtype))
    return (multiply(difference, expand_dims(_counted(node, scale), -1)),)


def _logits(*shape: int) -> Array:
    return np.random.default_rng(6).normal(size=shape) * 2


def _probabilities(*shape: int) -> Array:
    return np.random.default_rng(7).uniform(0.1, 1, shape)


def _samples() -> list[Sample]:
    labels = np.array([[1, 0, 4], [2, -100, 3]])

    def loss(logits: Value, target: Value) -> Value:
        return cross_entropy(logits, target, reduction="none")

    def every(logits: Value, target: Value) -> Value:
        node = apply(CROSS_ENTROPY, (logits, target), CrossEntropyAttrs(-100 if target.dtype == int64 else None))
        losses, largest, log_sum = node.outputs
        return multiply(losses, subtract(log_sum, mean(_shifted(logits, largest), -1)))

    return [
        Sample(loss, (_logits(2, 3, 5), labels), (0,), label="labels, one ignored"),
        Sample(every, (_logits(2, 3, 5), labels), (0,), label="every output, labels"),
        Sample(loss, (_logits(3, 1), np.zeros(3, "int32")), (0,), label="one class, int32"),
        Sample(loss, (_logits(4), np.array(2, "int8")), (0,), label="0-d label"),
        Sample(loss, (_logits(0, 4), np.zeros(0, "int64")), (0,), label="no rows"),
        Sample(loss, (_logits(2, 5), _probabilities(2, 5)), (0, 1), label="probabilities"),
        Sample(every, (_logits(2, 5), _probabilities(2, 5)), (0, 1), label="every output, probabilities"),
        Sample(loss, (_logits(5), _probabilities(5)), (0, 1), label="one row of probabilities"),
        Sample(loss, (_logits(2, 3) * 1e3, np.array([1, 2])), (), label="large logits"),
    ]


def _grad_samples() -> list[Sample]:
    def build(logits: Value, target: Value, largest: Value, log_sum: Value, g: Value) -> Value:
        attrs = CrossEntropyAttrs(-100 if target.dtype == int64 else None)
        return apply(CROSS_ENTROPY_GRAD, (logits, target, largest, log_sum, g), attrs).output

    def sample(logits: Array, target: Array) -> Sample:
        rows = logits.shape[:-1]
        probabilities = (1,) if target.dtype.kind == "f" else ()
        shifts = _probabilities(*rows) + 3, _probabilities(*rows)
        return Sample(build, (logits, target, *shifts, _logits(*rows)), (0, *probabilities, 2, 3, 4))

    return [
        sample(_logits(2, 3, 5), np.array([[1, 0, 4], [2, -100, 3]])),
        sample(_logits(2, 5), _probabilities(2, 5)),
        sample(_logits(0, 4), np.zeros(0, "uint8")),
    ]


CROSS_ENTROPY = registry.add(
    OpDef(
        "cross_entropy",
        "For each row of logits z, its loss, its largest item m and the logarithm of the summed exp(z - m).",
        infer=_infer,
        evaluate=_evaluate,
        vjp=_vjp,
        attrs=CrossEntropyAttrs,
        faults=True,
        decompose=_decompose,
        samples=_samples,
    )
)
CROSS_ENTROPY_GRAD = registry.add(
    OpDef(
        "cross_entropy_grad",
        "(exp((z - m) - s) - target) * g from logits z, target, m, s and g; labels stand for one-hot rows.",
        infer=_infer_grad,
        evaluate=_evaluate_grad,
        vjp=_grad_vjp,
        attrs=CrossEntropyAttrs,
        faults=True,
        decompose=_decompose_grad,
        samples=_grad_samples,
    )
)

# --- losses ----------------------------------------------------------------------------------------


def reduced(losses: Value, reduction: str, count: Value | None = None) -> Value:
    """The mean, the sum, or all of the losses; the mean divides by ``count`` instead of their number where it is given.

    Raises:
        GraphError: there is no such reduction.
    """
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    if reduction == "mean":
        return mean(losses) if count is None else divide(sum(losses), count)
    raise GraphError(f"reduction={reduction!r}", expected="'mean', 'sum' or 'none'")


def _ignorable(target: Value, ignore_index: int) -> int | None:
    """``ignore_index`` where a label can have that value."""
    if not target.dtype.is_integer:
        return None
    bounds = np.iinfo(target.dtype.numpy)
    return ignore_index if bounds.min <= ignore_index <= bounds.max else None


def _mean_count(target: Value, ignored: int | None, dtype: DType) -> Value | None:
    """How many rows count, where that depends on the labels."""
    return None if ignored is None else sum(cast(not_equal(target, ignored), dtype))


def cross_entropy(
    logits: Operand,
    target: Operand,
    axis: int = -1,
    *,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Value:
    """The cross-entropy of softmax(logits) and a target, computed without the softmax; PyTorch's, but for ``axis``.

    Args:
        logits: a float array with the classes along ``axis``. An item may be -inf: a class that cannot be.
        target: integer labels, of the shape of the logits without ``axis``; or probabilities, of the dtype and shape
            of the logits, where a class of probability 0 adds 0.
        axis: the axis of classes. PyTorch has it at 1, here it is the last by default: for images of shape
            (batch, classes, height, width) pass ``axis=1``.
        reduction: ``"mean"`` over the rows whose label is not ignored, ``"sum"``, or ``"none"``: a loss for each row.
        ignore_index: rows with this label have loss 0 and gradient 0. Of no meaning for probabilities.
        label_smoothing: the share, from 0 to 1, of the target that is spread evenly over all classes (Szegedy et al.
            2016, "Rethinking the inception architecture for computer vision", section 7).

    Returns:
        A scalar, or for ``"none"`` the shape of the logits without ``axis``.

    Raises:
        ShapeError: the shapes do not fit, or there are no classes.
        DTypeError: the target is bool.
        GraphError: ``reduction`` or ``label_smoothing`` has no such value.
        IndexFault: at run time, a label is neither a class nor ``ignore_index``.
    """
    if not 0 <= label_smoothing <= 1:
        raise GraphError(f"label_smoothing={label_smoothing!r}", expected="a number from 0 to 1")
    values, goal = _rows_last(logits, target, axis)
    if not goal.dtype.is_float:
        ignored = _ignorable(goal, ignore_index)
        losses, largest, log_sum = apply(CROSS_ENTROPY, (values, goal), CrossEntropyAttrs(ignored)).outputs
        if label_smoothing:
            even = _without_ignored(subtract(log_sum, mean(_shifted(values, largest), -1)), goal, ignored)
            losses = add(multiply(losses, 1 - label_smoothing), multiply(even, label_smoothing))
        return reduced(losses, reduction, _mean_count(goal, ignored, values.dtype))
    if label_smoothing:
        share = label_smoothing / size_value(values.shape[-1], values.dtype)
        goal = add(multiply(goal, 1 - label_smoothing), share)
    return reduced(apply(CROSS_ENTROPY, (values, goal), CrossEntropyAttrs()).outputs[0], reduction)


def _rows_last(logits: Operand, target: Operand, axis: int) -> tuple[Value, Value]:
    """Logits and target as values, the classes moved to the last axis."""
    values, goal = as_value(logits), as_value(target)
    values = cast(values, float_dtype(values.dtype))
    if values.ndim == 0:
        raise ShapeError("logits of shape ()", expected="an axis of classes")
    position = normalize_axis(axis, values.ndim)
    values = moveaxis(values, position, -1)
    if goal.dtype.is_float:
        goal = cast(goal, values.dtype)
        goal = moveaxis(goal, position, -1) if goal.ndim == values.ndim else goal
    return values, goal


def nll_loss(
    log_probabilities: Operand,
    target: Operand,
    axis: int = -1,
    *,
    reduction: Reduction = "mean",
    ignore_index: int = -100,
) -> Value:
    """The negative log-likelihood of labels: ``-log_probabilities[label]``; PyTorch's, but for ``axis``.

    Args:
        log_probabilities: a float array with the classes along ``axis``, as :func:`log_softmax` gives it.
        target: integer labels, of the shape of ``log_probabilities`` without ``axis``.
        axis: the axis of classes; PyTorch has it at 1.
        reduction: ``"mean"`` over the rows whose label is not ignored, ``"sum"``, or ``"none"``.
        ignore_index: rows with this label have loss 0 and gradient 0.

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the labels are not integers.
        IndexFault: at run time, a label is neither a class nor ``ignore_index``.
    """
    values, labels = _rows_last(log_probabilities, target, axis)
    if not labels.dtype.is_integer:
        raise DTypeError(f"nll_loss: labels of dtype {labels.dtype}", expected="an integer dtype", remedy="cast them")
    _check(values.type, labels.type)
    ignored = _ignorable(labels, ignore_index)
    # A negative label would count from the end: moved below that, it is out of range.
    classes = size_value(values.shape[-1], int64)
    index = cast(_without_ignored(labels, labels, ignored), int64)
    index = where(less(index, 0), subtract(index, classes), index)
    picked = squeeze(gather(values, expand_dims(index, -1), axis=-1), -1)
    losses = _without_ignored(negative(picked), labels, ignored)
    return reduced(losses, reduction, _mean_count(labels, ignored, values.dtype))
