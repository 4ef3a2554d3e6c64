"""Softmax, its logarithm, and the logarithm of summed exponentials, where they are written out.

With e = exp(x) and s its sum along an axis, kept or put back by a reshape, softmax is found in ``e / s``,
``e * (1 / s)`` and ``exp(log_softmax)``; log-softmax in ``log(softmax)`` and ``x - log(s)``. A maximum that was
subtracted from x is left out again: the result is the same whatever number is subtracted along the axis.

A row that holds +inf becomes NaN as a whole, where ``e / s`` has NaN there and zeros elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from graphc.ir import ops
from graphc.ir.dims import Size
from graphc.ir.graph import Node, Value
from graphc.ir.ops.reduce import reduced_shape
from graphc.passes.rewrite import Matcher
from graphc.passes.rules.constants import operand_and_scalar, scalar_of

__all__ = [
    "exp_of_log_softmax",
    "log_of_softmax",
    "log_of_summed_exponentials",
    "log_softmax_written_out",
    "logsumexp_of",
    "softmax_by_division",
    "softmax_by_multiplication",
    "through_reshapes",
]


class Exponentials(NamedTuple):
    """A sum, or its logarithm, of the exponentials of ``x`` over ``axes``."""

    x: Value
    axes: tuple[int, ...]

    def fits(self, shape: Sequence[Size]) -> bool:
        """Whether something of this shape meets each item of x with the result for its row."""
        kept = reduced_shape(self.x.shape, self.axes, keepdims=True)
        return (1,) * (len(kept) - len(shape)) + tuple(shape) == kept


def through_reshapes(value: Value, matcher: Matcher, *names: str) -> Value:
    """What a value was before reshapes, and operations of these names."""
    while node := matcher.producer(value, "reshape", *names):
        value = node.inputs[0]
    return value


def _before_broadcast(value: Value, matcher: Matcher) -> Value:
    node = matcher.producer(value, "broadcast_to")
    return node.inputs[0] if node else value


def _summed_exponentials(value: Value, matcher: Matcher) -> Exponentials | None:
    total = matcher.producer(through_reshapes(value, matcher), "sum")
    inner = total and matcher.producer(total.inputs[0], "exp")
    return Exponentials(inner.inputs[0], total.attrs.axes) if total and inner else None


def _reciprocal(value: Value, matcher: Matcher) -> Value | None:
    node = matcher.producer(through_reshapes(value, matcher), "divide")
    return node.inputs[1] if node and scalar_of(node.inputs[0], matcher) == 1 else None


def _unshifted(x: Value, axis: int, matcher: Matcher) -> Value:
    """``x``, or what it was before its own maximum, over ``axis`` and perhaps others, was subtracted."""
    shifted = matcher.producer(x, "subtract")
    if shifted is None:
        return x
    source, shift = shifted.inputs[0], _before_broadcast(shifted.inputs[1], matcher)
    largest = through_reshapes(shift, matcher, "stop_gradient")
    guard = matcher.producer(largest, "where")
    finite = guard and matcher.producer(guard.inputs[0], "isfinite")
    if guard and finite and finite.inputs[0] is guard.inputs[1] and scalar_of(guard.inputs[2], matcher) == 0:
        largest = through_reshapes(guard.inputs[1], matcher, "stop_gradient")
    reduction = matcher.producer(largest, "max")
    if reduction is None or reduction.inputs[0] is not source or axis not in reduction.attrs.axes:
        return x
    return source if Exponentials(source, reduction.attrs.axes).fits(shift.shape) else x


# --- softmax --------------------------------------------------------------------------------------


def _softmax(exponential: Value, spread: Value, total: Value, matcher: Matcher) -> Value | None:
    """``exponential / spread``, where the latter is ``total`` in the shape in which they meet."""
    inner = matcher.producer(exponential, "exp")
    found = _summed_exponentials(total, matcher)
    if inner is None or found is None or found.x is not inner.inputs[0] or len(found.axes) != 1:
        return None
    if not found.fits(_before_broadcast(spread, matcher).shape):
        return None
    return ops.softmax(_unshifted(found.x, found.axes[0], matcher), found.axes[0])


def softmax_by_division(node: Node, matcher: Matcher) -> Value | None:
    """``exp(x) / sum(exp(x))`` is softmax."""
    exponential, total = node.inputs
    return _softmax(exponential, total, _before_broadcast(total, matcher), matcher)


def softmax_by_multiplication(node: Node, matcher: Matcher) -> Value | None:
    """``exp(x) * (1 / sum(exp(x)))`` is softmax."""
    for exponential, inverse in (node.inputs, node.inputs[::-1]):
        total = _reciprocal(_before_broadcast(inverse, matcher), matcher)
        if total is not None and (found := _softmax(exponential, inverse, total, matcher)) is not None:
            return found
    return None


def exp_of_log_softmax(node: Node, matcher: Matcher) -> Value | None:
    """``exp(log_softmax(x))`` is softmax; where the logarithm is used too, its exponential costs less."""
    inner = matcher.producer(node.inputs[0], "log_softmax")
    if inner is None or matcher.shared(node.inputs[0]):
        return None
    return ops.softmax(inner.inputs[0], inner.attrs.axis)


# --- its logarithm --------------------------------------------------------------------------------


def log_of_softmax(node: Node, matcher: Matcher) -> Value | None:
    """``log(softmax(x))`` is log-softmax."""
    inner = matcher.producer(node.inputs[0], "softmax")
    return ops.log_softmax(inner.inputs[0], inner.attrs.axis) if inner else None


def log_softmax_written_out(node: Node, matcher: Matcher) -> Value | None:
    """``x - log(sum(exp(x)))``, in which the second term may be :func:`~graphc.logsumexp`, is log-softmax."""
    x, spread = node.inputs
    total = _before_broadcast(spread, matcher)
    found = logsumexp_of(total, matcher)
    if found is None or found.x is not x or len(found.axes) != 1 or not found.fits(total.shape):
        return None
    return ops.log_softmax(_unshifted(x, found.axes[0], matcher), found.axes[0])


def logsumexp_of(value: Value, matcher: Matcher) -> Exponentials | None:
    """Of what ``value`` is the logarithm of summed exponentials.

    Of u, for ``log(sum(exp(u)))``, and of x, for ``m + log(sum(exp(x - m)))`` with any m.
    """
    value = through_reshapes(value, matcher)
    if (total := _logarithm_of(value, matcher)) is not None:
        return _summed_exponentials(total, matcher)
    node = matcher.producer(value, "add")
    if node is None:
        return None
    for shift, logarithm in (node.inputs, node.inputs[::-1]):
        total = _logarithm_of(through_reshapes(logarithm, matcher), matcher)
        found = None if total is None else _summed_exponentials(total, matcher)
        shifted = found and matcher.producer(found.x, "subtract")
        if not found or not shifted or shift.shape != logarithm.shape:
            continue
        subtracted = _before_broadcast(shifted.inputs[1], matcher)
        same = through_reshapes(subtracted, matcher) is through_reshapes(shift, matcher)
        result = Exponentials(shifted.inputs[0], found.axes)
        if same and result.fits(subtracted.shape):
            return result
    return None


def _logarithm_of(value: Value, matcher: Matcher) -> Value | None:
    """What ``value`` is the logarithm of, also where a sum of nothing but zeros is guarded: -inf."""
    if node := matcher.producer(value, "log"):
        return node.inputs[0]
    guard = matcher.producer(value, "where")
    inner = guard and matcher.producer(guard.inputs[2], "log")
    safe = inner and matcher.producer(inner.inputs[0], "where")
    if not (guard and safe) or guard.inputs[0] is not safe.inputs[0]:
        return None
    nothing = matcher.producer(guard.inputs[0], "equal")
    total = safe.inputs[2]
    is_zero = nothing and any(
        operand is total and number == 0 for operand, number in operand_and_scalar(nothing, matcher)
    )
    return total if is_zero and scalar_of(guard.inputs[1], matcher) == float("-inf") else None


def log_of_summed_exponentials(node: Node, matcher: Matcher) -> Value | None:
    """``log(sum(exp(x)))`` is :func:`~graphc.logsumexp`, unless a maximum was subtracted already."""
    (total,) = node.inputs
    found = _summed_exponentials(total, matcher)
    if found is None or not all(isinstance(found.x.shape[axis], int) and found.x.shape[axis] for axis in found.axes):
        return None
    if any(_unshifted(found.x, axis, matcher) is not found.x for axis in found.axes):
        return None
    return ops.reshape(ops.logsumexp(found.x, found.axes), total.shape)
