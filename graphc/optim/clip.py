"""Gradient clipping: functions from gradients to gradients, given to an optimizer as ``gradient_clip``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.optim.arguments import check_at_least

__all__ = ["GradientTransform", "clip_by_global_norm", "clip_by_norm", "clip_by_value", "global_norm"]

GradientTransform: TypeAlias = Callable[[Sequence[Value]], Sequence[Value]]
"""A function from the gradients of all parameters to as many of the same types."""


def global_norm(values: Sequence[Value]) -> Value:
    """The Euclidean norm, 0-d, of all items of all values together."""
    return ops.sqrt(reduce(ops.add, [ops.sum(value * value) for value in values]))


def _limited(gradient: Value, norm: Value, max_norm: float) -> Value:
    """A gradient scaled down where ``norm`` exceeds ``max_norm``."""
    factor = ops.minimum(max_norm / (norm + 1e-6), 1.0)
    return gradient * ops.cast(factor, gradient.dtype)


def clip_by_global_norm(max_norm: float) -> GradientTransform:
    """Scale all gradients by ``min(1, max_norm / (norm + 1e-6))``, where the norm is that of all of them together.

    Source: Pascanu, Mikolov, Bengio, On the difficulty of training recurrent neural networks, 2013, algorithm 1, in
    the form of ``torch.nn.utils.clip_grad_norm_``.
    """
    check_at_least(0.0, max_norm=max_norm)

    def clip(gradients: Sequence[Value]) -> list[Value]:
        norm = global_norm(gradients)
        return [_limited(gradient, norm, max_norm) for gradient in gradients]

    return clip


def clip_by_norm(max_norm: float) -> GradientTransform:
    """Scale each gradient by ``min(1, max_norm / (norm + 1e-6))``, where the norm is its own."""
    check_at_least(0.0, max_norm=max_norm)
    return lambda gradients: [_limited(gradient, global_norm([gradient]), max_norm) for gradient in gradients]


def clip_by_value(limit: float) -> GradientTransform:
    """Limit each item of each gradient to the range from ``-limit`` to ``limit``."""
    check_at_least(0.0, limit=limit)
    return lambda gradients: [ops.clip(gradient, -limit, limit) for gradient in gradients]
