"""Embedding: a table of rows, chosen by integers."""

from __future__ import annotations

from functools import partial

from graphc.errors import ShapeError
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops import cast, equal, expand_dims, logical_or, parameter, stop_gradient, take, where
from graphc.ir.types import DType
from graphc.nn.init import Initializer, Rng, fixed_sizes, initial, normal
from graphc.nn.module import Module

__all__ = ["Embedding"]


class Embedding(Module):
    """Rows of a table: int (...) to (..., embedding_dim), by :func:`graphc.take`.

    An update of the table by plain gradient descent, ``weight - lr * gradient`` with any schedule, touches the rows
    that were used alone, and the gradient is never stored. With momentum, weight decay or an optimizer such as Adam all
    rows change at every step, and the gradient is stored, as it is where it is clipped by its norm.

    Args:
        num_embeddings: how many rows; an index outside them is an error when the function runs.
        embedding_dim: the size of a row.
        padding_idx: a row that starts at zero and gets no gradient, for indices that only fill up a sequence; negative
            ones count from the end.
        dtype: float32 or float64.
        init: how the table starts; by default standard normal, as in PyTorch.
        rng: where the start's random numbers come from; see :func:`graphc.nn.init.seed`.

    Attributes:
        weight: (num_embeddings, embedding_dim).

    Raises:
        ShapeError: a size is not an integer of at least 0, or there is no row ``padding_idx``.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: DType | str | type = "float32",
        init: Initializer | None = None,
        rng: Rng = None,
    ) -> None:
        shape = fixed_sizes(num_embeddings, embedding_dim)
        self.num_embeddings, self.embedding_dim = shape
        self.padding_idx = padding_idx
        rows = initial(init or partial(normal, std=1.0), shape, rng)
        if padding_idx is not None:
            if not -shape[0] <= padding_idx < shape[0]:
                raise ShapeError(
                    f"an Embedding of {shape[0]} rows with padding_idx={padding_idx}",
                    expected=f"an integer from {-shape[0]} to {shape[0] - 1}" if shape[0] else "a table with rows",
                )
            self.padding_idx = padding_idx % shape[0]
            rows = rows.copy()
            rows[self.padding_idx] = 0
        self.weight = parameter(rows, "weight", dtype)

    def forward(self, indices: Operand) -> Value:
        """The rows at the indices."""
        rows = take(self.weight, indices, axis=0)
        if self.padding_idx is None:
            return rows
        given = cast(indices, "int64")
        padding = logical_or(equal(given, self.padding_idx), equal(given, self.padding_idx - self.num_embeddings))
        return where(expand_dims(padding, -1), stop_gradient(rows), rows)

    def settings(self) -> str:
        """The shape of the table, and the row for padding."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
