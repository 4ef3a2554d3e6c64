"""Layers that tell a network where in a sequence an item stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from graphc.errors import ShapeError
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops import arange, as_value, parameter, positional_encoding, rotary_embedding, take
from graphc.ir.types import DType, unify
from graphc.nn.dropout import Dropout
from graphc.nn.init import Initializer, Rng, fixed_sizes, initial, normal
from graphc.nn.module import Module

__all__ = ["LearnedPositionalEncoding", "PositionalEncoding", "RotaryEmbedding"]


class PositionalEncoding(Module):
    """Sinusoids of the position added, then dropout: float (..., T, D) of any length T to the same shape.

    See :func:`graphc.positional_encoding`.

    Source: Vaswani et al. 2017, "Attention is all you need", sections 3.5 and 5.4.

    Args:
        dropout: the share of items that become zero while training.
        base: of the wavelengths.

    Raises:
        ShapeError: when called, if the input is not (..., T, D) with an even D of fixed size.
    """

    def __init__(self, dropout: float = 0.0, base: float = 10_000.0) -> None:
        self.dropout = Dropout(dropout)
        self.base = base

    def forward(self, x: Operand) -> Value:
        """``x`` with its positions."""
        value = as_value(x)
        dim = value.shape[-1] if value.ndim > 1 else None
        if not isinstance(dim, int):
            raise ShapeError(f"{self!r} was called with {value.type}", expected="shape (..., T, D) with a known D")
        encoding = positional_encoding(arange(value.shape[-2]), dim, self.base, value.dtype)
        result: Value = self.dropout(value + encoding)
        return result

    def settings(self) -> str:
        """The base of the wavelengths."""
        return f"base={self.base:g}"


class LearnedPositionalEncoding(Module):
    """A learned row for each position added: float (..., T, dim) to the same shape.

    Args:
        max_length: how many positions there are rows for; a longer input is an error, at run time where T is symbolic.
        dim: the size of the last axis.
        dtype: float32 or float64.
        init: how the rows start; by default normal with a standard deviation of 0.02, as in GPT-2.
        rng: where the start's random numbers come from; see :func:`graphc.nn.init.seed`.

    Attributes:
        weight: (max_length, dim).

    Raises:
        ShapeError: a size is not an integer of at least 0; when called, if the input does not fit.
    """

    def __init__(
        self,
        max_length: int,
        dim: int,
        dtype: DType | str | type = "float32",
        init: Initializer | None = None,
        rng: Rng = None,
    ) -> None:
        shape = fixed_sizes(max_length, dim)
        self.max_length, self.dim = shape
        self.weight = parameter(initial(init or partial(normal, std=0.02), shape, rng), "weight", dtype)

    def forward(self, x: Operand) -> Value:
        """``x`` with its positions."""
        value = as_value(x)
        length, dim = value.shape[-2:] if value.ndim > 1 else (0, None)
        if dim is None or unify(dim, self.dim) is None or (isinstance(length, int) and length > self.max_length):
            raise ShapeError(
                f"{self!r} was called with {value.type}",
                expected=f"shape (..., T, {self.dim}), where T is at most {self.max_length}",
                remedy="make the layer for the longest sequence that it will see",
            )
        return value + take(self.weight, arange(length), axis=0)

    def settings(self) -> str:
        """The shape of the weight."""
        return f"{self.max_length}, {self.dim}"


@dataclass(eq=False)
class RotaryEmbedding(Module):
    """Queries or keys, (..., T, D), with pairs of items rotated by their position: :func:`graphc.rotary_embedding`."""

    base: float = 10_000.0
    interleaved: bool = True

    def forward(self, x: Operand, positions: Operand | None = None) -> Value:
        """``x``, rotated."""
        return rotary_embedding(x, positions, self.base, self.interleaved)
