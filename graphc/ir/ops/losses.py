"""Losses of predictions against targets of the same shape, composed of simpler operations, as PyTorch defines them."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from graphc.errors import ShapeError
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import abs, add, divide, multiply, negative, subtract
from graphc.ir.ops.choice import where
from graphc.ir.ops.comparison import greater, less_equal
from graphc.ir.ops.conversion import cast, common_dtype, float_dtype, promoted
from graphc.ir.ops.cross_entropy import Reduction, reduced, same_shape
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.reduce import sum
from graphc.ir.ops.statistics import size_value
from graphc.ir.ops.transcendental import exp, log, softplus
from graphc.ir.types import shape_text

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
]

BatchReduction: TypeAlias = Literal["mean", "sum", "none", "batchmean"]


def _pair(name: str, input: Operand, target: Operand) -> tuple[Value, Value]:
    """Both as values of one float dtype.

    Raises:
        ShapeError: the target has another shape, and is not one number. It is not broadcast: a column against a row
            would give a matrix of losses, whose mean looks like a loss and is none.
    """
    value, goal = promoted((input, target), float_dtype(common_dtype((input, target))))
    if goal.ndim and not same_shape(value.shape, goal.shape):
        raise ShapeError(
            f"{name}: a target of shape {shape_text(goal.shape)} for an input of shape {shape_text(value.shape)}",
            expected="equal shapes, or a target that is one number",
            remedy="reshape one of them, or broadcast the target with gr.broadcast_to",
        )
    return value, goal


def mse_loss(input: Operand, target: Operand, *, reduction: Reduction = "mean") -> Value:
    """The squared differences of input and target.

    Args:
        input: any shape.
        target: the same shape, or one number.
        reduction: ``"mean"``, ``"sum"``, or ``"none"``: a loss for each item.

    Raises:
        ShapeError: the shapes differ.
    """
    value, goal = _pair("mse_loss", input, target)
    difference = subtract(value, goal)
    return reduced(multiply(difference, difference), reduction)


def l1_loss(input: Operand, target: Operand, *, reduction: Reduction = "mean") -> Value:
    """The absolute differences of input and target; arguments and errors as of :func:`mse_loss`."""
    value, goal = _pair("l1_loss", input, target)
    return reduced(abs(subtract(value, goal)), reduction)


def huber_loss(input: Operand, target: Operand, *, reduction: Reduction = "mean", delta: float = 1.0) -> Value:
    """Half the squared difference d where ``|d| <= delta``, else ``delta (|d| - delta / 2)`` (Huber 1964).

    Args:
        input: any shape.
        target: the same shape, or one number.
        reduction: ``"mean"``, ``"sum"``, or ``"none"``: a loss for each item.
        delta: where the loss turns from a parabola into lines; positive.

    Raises:
        ShapeError: the shapes differ.
    """
    value, goal = _pair("huber_loss", input, target)
    difference = subtract(value, goal)
    distance = abs(difference)
    near = multiply(multiply(difference, difference), 0.5)
    far = multiply(subtract(distance, delta / 2), delta)
    return reduced(where(less_equal(distance, delta), near, far), reduction)


def _clamped_log(x: Value) -> Value:
    """``max(log(x), -100)``, with derivative 0 where it is clamped."""
    clamped = less_equal(x, math.exp(-100))
    return where(clamped, -100.0, log(where(clamped, 1.0, x)))


def binary_cross_entropy(input: Operand, target: Operand, *, reduction: Reduction = "mean") -> Value:
    """``-(t log p + (1 - t) log(1 - p))`` of probabilities p and targets t; the logarithms are at least -100.

    Where a logarithm is clamped, its derivative is 0. Prefer :func:`binary_cross_entropy_with_logits`, which is exact
    for all logits.

    Args:
        input: probabilities, any shape.
        target: numbers from 0 to 1 of the same shape, or one number.
        reduction: ``"mean"``, ``"sum"``, or ``"none"``: a loss for each item.

    Raises:
        ShapeError: the shapes differ.
    """
    p, t = _pair("binary_cross_entropy", input, target)
    q = subtract(1.0, p)
    likelihood = add(multiply(t, _clamped_log(p)), multiply(subtract(1.0, t), _clamped_log(q)))
    return reduced(negative(likelihood), reduction)


def binary_cross_entropy_with_logits(
    input: Operand, target: Operand, *, reduction: Reduction = "mean", pos_weight: Operand = None
) -> Value:
    """The binary cross-entropy of sigmoid(z) and targets t, from logits z, without overflow or rounding to 0.

    It is ``softplus(z) - t z``; with weights w of the positive class, ``(1 - t) z + (1 + (w - 1) t) softplus(-z)``.

    Args:
        input: logits, any shape.
        target: numbers from 0 to 1 of the same shape, or one number.
        reduction: ``"mean"``, ``"sum"``, or ``"none"``: a loss for each item.
        pos_weight: weights that broadcast to the shape of the input; None for 1.

    Raises:
        ShapeError: the shapes differ.
    """
    z, t = _pair("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        return reduced(subtract(softplus(z), multiply(t, z)), reduction)
    weight = add(multiply(subtract(cast(as_value(pos_weight, z.dtype), z.dtype), 1.0), t), 1.0)
    return reduced(add(multiply(subtract(1.0, t), z), multiply(weight, softplus(negative(z)))), reduction)


def kl_div(input: Operand, target: Operand, *, reduction: BatchReduction = "mean", log_target: bool = False) -> Value:
    """The terms ``t (log t - y)`` of the Kullback-Leibler divergence of targets t from log-probabilities y.

    Args:
        input: log-probabilities y, any shape.
        target: probabilities t of the same shape; their logarithms with ``log_target``. Where t is 0, the term is 0.
        reduction: ``"batchmean"``: the sum over all divided by the size of the first axis, which is the divergence
            of one distribution on average; ``"mean"`` over all items, ``"sum"``, or ``"none"``.
        log_target: whether the target is given as logarithms.

    Raises:
        ShapeError: the shapes differ, or ``"batchmean"`` is asked of a 0-d input.
    """
    y, t = _pair("kl_div", input, target)
    if log_target:
        terms = multiply(exp(t), subtract(t, y))
    else:
        possible = greater(t, 0)
        terms = where(possible, multiply(t, subtract(log(where(possible, t, 1.0)), y)), 0.0)
    if reduction != "batchmean":
        return reduced(terms, reduction)
    if y.ndim == 0:
        raise ShapeError("kl_div: reduction='batchmean' of an input of shape ()", expected="an axis of samples")
    return divide(sum(terms), size_value(y.shape[0], y.dtype))
