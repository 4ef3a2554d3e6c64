"""Multi-head attention."""

from __future__ import annotations

import itertools
import math
from functools import partial

from graphc.errors import ShapeError
from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops import Variable
from graphc.ir.types import DType, unify
from graphc.nn.dropout import Dropout
from graphc.nn.init import Initializer, Rng, as_generator, fixed_sizes, glorot_uniform, initial, uniform, zeros
from graphc.nn.linear import Linear
from graphc.nn.module import Module

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention by several heads, each on projections of its own, whose results are projected together.

    The batch comes first: queries (..., T, embed_dim), keys (..., S, kdim) and values (..., S, vdim) give
    (..., T, embed_dim). The weights are those of PyTorch's layer, which must be made with ``batch_first=True`` for the
    same shapes. Masks are those of :func:`graphc.attention`, where true means that a query may attend to a key; in
    PyTorch's layer it means that it may not: for its ``attn_mask`` and ``key_padding_mask`` give
    ``mask=~attn_mask & ~key_padding_mask[:, None, None, :]``.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.2.2.

    Args:
        embed_dim: the size of the last axis of queries and of the result.
        num_heads: how many heads share it equally.
        bias: whether the projections have biases.
        dropout: the share of the attention weights that become zero while training.
        kdim: the size of the last axis of keys; ``embed_dim`` where not given.
        vdim: the size of the last axis of values; ``embed_dim`` where not given.
        dtype: float32 or float64.
        init: how the weights start, from :mod:`graphc.nn.init`; without it as in PyTorch: those of the projections to
            queries, keys and values Glorot-uniform, that of the last one uniform between plus and minus
            ``1/sqrt(embed_dim)``. Biases start at zero.
        rng: where the start's random numbers come from; see :func:`graphc.nn.init.seed`.

    Attributes:
        in_proj_weight: (3 * embed_dim, embed_dim), rows for queries, keys and values in this order; None where keys or
            values have another size, and there are ``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight`` instead.
        in_proj_bias: (3 * embed_dim,), or None.
        out_proj: the last projection, a Linear layer.

    Raises:
        ShapeError: the heads do not divide ``embed_dim``; when called, if an operand has another last axis.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        bias: bool = True,
        dropout: float = 0.0,
        kdim: int | None = None,
        vdim: int | None = None,
        dtype: DType | str | type = "float32",
        init: Initializer | None = None,
        rng: Rng = None,
    ) -> None:
        self.embed_dim, self.kdim, self.vdim = fixed_sizes(
            embed_dim, embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        )
        if num_heads < 1 or self.embed_dim % num_heads:
            raise ShapeError(
                f"a MultiheadAttention of size {embed_dim} with {num_heads} heads",
                expected="a number of heads that divides the size",
            )
        self.num_heads = num_heads
        rng = as_generator(rng)

        def weight(rows: int, columns: int, name: str) -> Variable:
            return ops.parameter(initial(init or glorot_uniform, (rows, columns), rng), name, dtype)

        self.in_proj_weight: Variable | None = None
        if self.kdim == self.vdim == self.embed_dim:
            self.in_proj_weight = weight(3 * self.embed_dim, self.embed_dim, "in_proj_weight")
        else:
            self.q_proj_weight = weight(self.embed_dim, self.embed_dim, "q_proj_weight")
            self.k_proj_weight = weight(self.embed_dim, self.kdim, "k_proj_weight")
            self.v_proj_weight = weight(self.embed_dim, self.vdim, "v_proj_weight")
        self.in_proj_bias: Variable | None = None
        if bias:
            self.in_proj_bias = ops.parameter(initial(zeros, (3 * self.embed_dim,), rng), "in_proj_bias", dtype)
        bound = 1.0 / math.sqrt(max(self.embed_dim, 1))
        last = init or partial(uniform, low=-bound, high=bound)
        self.out_proj = Linear(self.embed_dim, self.embed_dim, bias, dtype, last, rng)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        query: Operand,
        key: Operand | None = None,
        value: Operand | None = None,
        mask: Operand | None = None,
        causal: bool = False,
    ) -> Value:
        """What the queries attend to.

        Args:
            query: (..., T, embed_dim).
            key: (..., S, kdim); the queries where not given.
            value: (..., S, vdim); the keys where not given.
            mask: see :func:`graphc.attention`; broadcasts to (..., num_heads, T, S).
            causal: see :func:`graphc.attention`.
        """
        queries = ops.as_value(query)
        keys = queries if key is None else ops.as_value(key)
        values = keys if value is None else ops.as_value(value)
        for what, x, size in (
            ("queries", queries, self.embed_dim),
            ("keys", keys, self.kdim),
            ("values", values, self.vdim),
        ):
            if x.ndim < 2 or unify(x.shape[-1], size) is None:
                raise ShapeError(
                    f"{self!r} was called with {what} of {x.type}",
                    expected=f"two axes or more, the last of size {size}",
                    remedy="make the layer with the sizes of its operands: embed_dim, kdim, vdim",
                )
        q, k, v = (ops.swapaxes(x, -3, -2) for x in self._projections(queries, keys, values))
        dropout = self.dropout if self.dropout.training and self.dropout.rate else None
        attended = ops.swapaxes(ops.attention(q, k, v, mask, causal, dropout=dropout), -3, -2)
        result: Value = self.out_proj(ops.reshape(attended, (*attended.shape[:-2], self.embed_dim)))
        return result

    def _projections(self, *operands: Value) -> list[Value]:
        """Queries, keys and values for each head, (..., T, num_heads, head); one product where operands are one."""
        if self.in_proj_weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            biases = [None] * 3 if self.in_proj_bias is None else ops.split(self.in_proj_bias, 3)
            return [self._heads(*each) for each in zip(operands, weights, biases, strict=True)]
        results: list[Value] = []
        for _, run in itertools.groupby(operands, id):
            same = list(run)
            rows = slice(len(results) * self.embed_dim, (len(results) + len(same)) * self.embed_dim)
            bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
            results += ops.split(self._heads(same[0], self.in_proj_weight[rows], bias, len(same)), len(same), axis=-2)
        return results

    def _heads(self, x: Value, weight: Value, bias: Value | None, times: int = 1) -> Value:
        """A projection of (..., T, size) to (..., T, times * num_heads, embed_dim / num_heads)."""
        product = x @ weight.T
        if bias is not None:
            product = product + bias
        return ops.reshape(product, (*product.shape[:-1], times * self.num_heads, self.embed_dim // self.num_heads))

    def settings(self) -> str:
        """The size and the number of heads."""
        return f"{self.embed_dim}, {self.num_heads}"
