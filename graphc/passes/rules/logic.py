"""Choices, comparisons, and operations that change nothing when they are done again. All hold for every number."""

from __future__ import annotations

from graphc.ir import ops
from graphc.ir.graph import Node, Value
from graphc.passes.rewrite import Matcher
from graphc.passes.rules.constants import literal, operand_and_scalar, scalar_of

__all__ = [
    "and_with_constant",
    "choose",
    "compare_with_itself",
    "done_again",
    "not_of_not",
    "or_with_constant",
    "same_operands",
]


def done_again(node: Node, matcher: Matcher) -> Value | None:
    """``f(f(x))`` is ``f(x)``, for functions such as relu and floor."""
    (x,) = node.inputs
    return x if matcher.producer(x, node.op.name) else None


def not_of_not(node: Node, matcher: Matcher) -> Value | None:
    """``~~x`` is x."""
    inner = matcher.producer(node.inputs[0], "bitwise_not")
    return inner.inputs[0] if inner else None


def same_operands(node: Node, matcher: Matcher) -> Value | None:
    """``maximum(x, x)`` is x; so for minimum, and and or. The derivative at NaN becomes that of x, which was 0."""
    x, y = node.inputs
    return x if x is y else None


def and_with_constant(node: Node, matcher: Matcher) -> Value | None:
    """``x & True`` is x, and ``x & False`` is False."""
    for x, bit in operand_and_scalar(node, matcher):
        if x.dtype.is_bool:
            return x if bit else literal(False, x.dtype)
    return None


def or_with_constant(node: Node, matcher: Matcher) -> Value | None:
    """``x | False`` is x, and ``x | True`` is True."""
    for x, bit in operand_and_scalar(node, matcher):
        if x.dtype.is_bool:
            return literal(True, x.dtype) if bit else x
    return None


def compare_with_itself(node: Node, matcher: Matcher) -> Value | None:
    """``x == x`` is True, and ``x < x`` False, but for floats, which may be NaN."""
    x, y = node.inputs
    if x is not y or x.dtype.is_float:
        return None
    holds = node.op.name in ("equal", "less_equal", "greater_equal")
    return literal(holds, node.output.dtype)


def choose(node: Node, matcher: Matcher) -> Value | None:
    """``where`` whose condition is known, or a negation, or whose branches are one value."""
    condition, x, y = node.inputs
    known = scalar_of(condition, matcher)
    if known is not None:
        return x if known else y
    if x is y:
        return x
    opposite = matcher.producer(condition, "bitwise_not")
    return ops.where(opposite.inputs[0], y, x) if opposite else None
