"""Dropout."""

from __future__ import annotations

from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.nn.module import Module
from graphc.random import Generator, dropout

__all__ = ["Dropout"]


class Dropout(Module):
    """Zero items at random while training, and scale the others so that their mean stays; the identity in evaluation.

    See :meth:`graphc.random.Generator.dropout`.

    Args:
        rate: the share of items that become zero, from 0 to 1.
        generator: where the random numbers come from; by default :data:`graphc.random.default_generator`, which
            ``gr.random.seed`` starts again.

    Raises:
        GraphError: when called, if the rate is out of range.
    """

    def __init__(self, rate: float = 0.5, generator: Generator | None = None) -> None:
        self.rate = rate
        self.generator = generator

    def forward(self, x: Operand) -> Value:
        """``x``, some items of which are dropped in graphs for training."""
        return dropout(x, self.rate, self.generator) if self.training else ops.as_value(x)

    def settings(self) -> str:
        """The rate."""
        return f"{self.rate}"
