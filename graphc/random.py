"""Random values in graphs, from a :class:`Generator` or from the default one of the process."""

from __future__ import annotations

from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.creation import DTypeLike, ShapeLike
from graphc.ir.ops.philox import Generator

__all__ = ["Generator", "bernoulli", "default_generator", "dropout", "normal", "seed", "uniform"]

default_generator = Generator(0)
"""Used where no other generator is given."""


def seed(seed: int) -> None:
    """Start the default generator again; see :meth:`Generator.seed`."""
    default_generator.seed(seed)


def uniform(
    shape: ShapeLike = (),
    low: Operand = 0.0,
    high: Operand = 1.0,
    dtype: DTypeLike = "float32",
    generator: Generator | None = None,
) -> Value:
    """See :meth:`Generator.uniform`."""
    return (generator or default_generator).uniform(shape, low, high, dtype)


def normal(
    shape: ShapeLike = (),
    mean: Operand = 0.0,
    std: Operand = 1.0,
    dtype: DTypeLike = "float32",
    generator: Generator | None = None,
) -> Value:
    """See :meth:`Generator.normal`."""
    return (generator or default_generator).normal(shape, mean, std, dtype)


def bernoulli(p: Operand, shape: ShapeLike | None = None, generator: Generator | None = None) -> Value:
    """See :meth:`Generator.bernoulli`."""
    return (generator or default_generator).bernoulli(p, shape)


def dropout(x: Operand, rate: float, generator: Generator | None = None) -> Value:
    """See :meth:`Generator.dropout`."""
    return (generator or default_generator).dropout(x, rate)
