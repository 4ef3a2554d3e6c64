"""Reverse mode over values: the one place where cotangents are summed, and summed back over broadcast axes.

The nodes between the outputs and the values to differentiate by are visited once each, users first; the cotangents that
a value receives from its users are summed. No work is done for what does not depend on the values, nor for outputs
without a cotangent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.errors import GraphError
from graphc.ir.closure import dependents
from graphc.ir.graph import Node, Value, reachable
from graphc.ir.ops.arithmetic import add
from graphc.ir.ops.creation import zeros_like
from graphc.ir.ops.reduce import sum
from graphc.ir.ops.shape import broadcast_to, reshape
from graphc.ir.source import origin, phase
from graphc.ir.types import TensorType

__all__ = ["cotangents_of", "pullback"]


def pullback(outputs: Sequence[Value], cotangents: Sequence[Value], wrt: Sequence[Value]) -> list[Value]:
    """For each value of ``wrt``, the sum over outputs of cotangent times derivative; zeros where there is none."""
    found = cotangents_of(outputs, cotangents, wrt)
    with phase("backward"):
        return [zeros_like(value) if known is None else known for value, known in zip(wrt, found, strict=True)]


def cotangents_of(
    outputs: Sequence[Value], cotangents: Sequence[Value | None], wrt: Sequence[Value]
) -> list[Value | None]:
    """For each value of ``wrt``, the sum over outputs of cotangent times derivative; None where there is none.

    A cotangent may be None, for zeros.
    """
    active = dependents(outputs, wrt)
    received: dict[Value, list[Value]] = {}
    for output, given in zip(outputs, cotangents, strict=True):
        if given is not None:
            received.setdefault(output, []).append(given)
    summed: dict[Value, Value] = {}
    for node in reversed(reachable(outputs)):
        if node not in active:
            continue
        totals = [_sum(received.pop(value), value, summed) if value in received else None for value in node.outputs]
        if all(total is None for total in totals):
            continue
        with origin(replace(node.origin, phase="backward")):
            for operand, cotangent in zip(node.inputs, _cotangents(node, totals), strict=True):
                if cotangent is not None and operand.dtype.is_float:
                    received.setdefault(operand, []).append(_fit(cotangent, operand.type, node))
    for value in wrt:
        if value in received:
            _sum(received.pop(value), value, summed)
    return [summed.get(value) for value in wrt]


def _sum(contributions: Sequence[Value], value: Value, summed: dict[Value, Value]) -> Value:
    with origin(replace(value.node.origin, phase="backward")):
        total = contributions[0]
        for contribution in contributions[1:]:
            total = add(total, contribution)
    summed[value] = total
    return total


def _cotangents(node: Node, given: Sequence[Value | None]) -> Sequence[Value | None]:
    result = node.op.vjp(node, *given)
    if len(result) != len(node.inputs):
        raise GraphError(
            f"the vjp of {node.op.name} gave {len(result)} cotangents",
            expected=f"{len(node.inputs)}, one for each input",
            location=node.location,
        )
    return result


def _fit(cotangent: Value, type: TensorType, node: Node) -> Value:
    """A cotangent summed back over the axes that broadcasting added or stretched, or spread over those it lacks."""
    if cotangent.dtype != type.dtype:
        raise GraphError(
            f"the vjp of {node.op.name} gave a cotangent of dtype {cotangent.dtype}",
            expected=f"{type.dtype}, the dtype of the input",
            location=node.location,
        )
    if cotangent.shape == type.shape:
        return cotangent
    extra = cotangent.ndim - type.rank
    if extra >= 0:
        padded = (1,) * extra + type.shape
        pairs = enumerate(zip(cotangent.shape, padded, strict=True))
        spread = [axis for axis, (size, own) in pairs if own == 1 and (axis < extra or size != 1)]
        if spread:
            cotangent = sum(cotangent, axis=spread, keepdims=True)
            cotangent = reshape(cotangent, cotangent.shape[extra:])
    return cotangent if cotangent.shape == type.shape else broadcast_to(cotangent, type.shape)
