"""Functions that lose digits, or overflow, as they are written, and have an operation that does not."""

from __future__ import annotations

from graphc.ir import ops
from graphc.ir.graph import Node, Value
from graphc.passes.rewrite import Matcher
from graphc.passes.rules.constants import operand_and_scalar, scalar_of

__all__ = ["expm1_by_addition", "expm1_by_subtraction", "log1p_written_out", "log_of_sigmoid", "sigmoid_written_out"]


def _negated(x: Value, matcher: Matcher) -> Value:
    node = matcher.producer(x, "negative")
    return node.inputs[0] if node else ops.negative(x)


def _one_plus(value: Value, matcher: Matcher) -> Value | None:
    """``x`` where ``value`` is ``1 + x``."""
    node = matcher.producer(value, "add")
    return next((x for x, number in operand_and_scalar(node, matcher) if number == 1), None) if node else None


def _one_minus(value: Value, matcher: Matcher) -> Value | None:
    """``x`` where ``value`` is ``1 - x``."""
    node = matcher.producer(value, "subtract")
    return node.inputs[1] if node and scalar_of(node.inputs[0], matcher) == 1 else None


def sigmoid_written_out(node: Node, matcher: Matcher) -> Value | None:
    """``1 / (1 + exp(-x))`` and ``exp(x) / (1 + exp(x))`` are the sigmoid."""
    above, below = node.inputs
    term = _one_plus(below, matcher)
    inner = matcher.producer(term, "exp") if term is not None else None
    if term is None or inner is None:
        return None
    (x,) = inner.inputs
    if above is term:
        return ops.sigmoid(x)
    if scalar_of(above, matcher) == 1:
        return ops.sigmoid(_negated(x, matcher))
    return None


def log_of_sigmoid(node: Node, matcher: Matcher) -> Value | None:
    """``log(sigmoid(x))`` is ``-softplus(-x)``, and ``log(1 - sigmoid(x))`` is ``-softplus(x)``."""
    (argument,) = node.inputs
    if node.op.name == "log1p":
        opposite = matcher.producer(argument, "negative")
        rest = opposite.inputs[0] if opposite else None
    else:
        rest = _one_minus(argument, matcher)
        if inner := matcher.producer(argument, "sigmoid"):
            return ops.negative(ops.softplus(_negated(inner.inputs[0], matcher)))
    inner = matcher.producer(rest, "sigmoid") if rest is not None else None
    return ops.negative(ops.softplus(inner.inputs[0])) if inner else None


def log1p_written_out(node: Node, matcher: Matcher) -> Value | None:
    """``log(1 + x)`` is log1p, and ``log(1 + exp(x))`` is softplus."""
    (argument,) = node.inputs
    if node.op.name == "log1p":
        x: Value | None = argument
    else:
        x = _one_plus(argument, matcher)
        if x is None and (rest := _one_minus(argument, matcher)) is not None:
            x = ops.negative(rest)
    if x is None:
        return None
    if inner := matcher.producer(x, "exp"):
        return ops.softplus(inner.inputs[0])
    return None if node.op.name == "log1p" else ops.log1p(x)


def expm1_by_subtraction(node: Node, matcher: Matcher) -> Value | None:
    """``exp(x) - 1`` is expm1, and ``1 - exp(x)`` its negative."""
    left, right = node.inputs
    for value, other, turned in ((left, right, False), (right, left, True)):
        inner = matcher.producer(value, "exp")
        if inner and scalar_of(other, matcher) == 1:
            result = ops.expm1(inner.inputs[0])
            return ops.negative(result) if turned else result
    return None


def expm1_by_addition(node: Node, matcher: Matcher) -> Value | None:
    """``exp(x) + -1`` is expm1."""
    for value, number in operand_and_scalar(node, matcher):
        inner = matcher.producer(value, "exp")
        if inner and number == -1:
            return ops.expm1(inner.inputs[0])
    return None
