"""Transformers: layers of an encoder and of a decoder, and stacks of them.

Source: Vaswani et al. 2017, "Attention is all you need", section 3; with ``norm_first``: Xiong et al. 2020, "On layer
normalization in the Transformer architecture".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, TypeAlias

from graphc.errors import GraphError
from graphc.ir import ops
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.types import DType
from graphc.nn.attention import MultiheadAttention
from graphc.nn.dropout import Dropout
from graphc.nn.init import Initializer, Rng, as_generator
from graphc.nn.linear import Linear
from graphc.nn.module import Module
from graphc.nn.normalization import LayerNorm

__all__ = ["TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer"]

Activation: TypeAlias = Literal["relu", "gelu"] | Callable[[Any], Any]
_ACTIVATIONS: dict[Any, Callable[[Any], Any]] = {"relu": ops.relu, "gelu": ops.gelu}


class _Layer(Module):
    """What the layers share: self-attention, a network of two linear layers for each item, and sums around both."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
        bias: bool = True,
        dtype: DType | str | type = "float32",
        init: Initializer | None = None,
        rng: Rng = None,
    ) -> None:
        function = _ACTIVATIONS.get(activation, activation)
        if not callable(function):
            raise GraphError(
                f"{type(self).__name__} with activation={activation!r}",
                expected="'relu', 'gelu' or a function of one value",
            )
        rng = as_generator(rng)
        self.activation = function
        self.norm_first = norm_first
        self._attention = partial(MultiheadAttention, d_model, nhead, bias, dropout, dtype=dtype, init=init, rng=rng)
        self._norm = partial(LayerNorm, d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.self_attn = self._attention()
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype, init, rng)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype, init, rng)
        self.norm1, self.norm2 = self._norm(), self._norm()
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)

    def _added(self, x: Value, norm: LayerNorm, function: Callable[[Value], Value]) -> Value:
        """A value and a function of it, normalized before the function or after the sum."""
        total: Value = x + function(norm(x)) if self.norm_first else norm(x + function(x))
        return total

    def _feed_forward(self, x: Value) -> Value:
        result: Value = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return result


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers for each item: float (..., T, d_model) to the same shape.

    Both are added to what goes into them and normalized. The batch comes first; the weights are those of PyTorch's
    layer, which must be made with ``batch_first=True`` for the same shapes.

    Args:
        d_model: the size of the last axis.
        nhead: how many heads the attention has.
        dim_feedforward: the size between the two linear layers.
        dropout: the share of items that become zero while training: of the attention weights, of the result of the
            attention, and of those of both linear layers.
        activation: between the two linear layers: ``"relu"``, ``"gelu"`` or a function of one value.
        layer_norm_eps: added to variances.
        norm_first: whether what goes into the attention and into the linear layers is normalized, not the sums.
        bias: whether linear layers and norms have biases.
        dtype: float32 or float64.
        init: how weights start, from :mod:`graphc.nn.init`; by default as in the layers that it consists of.
        rng: where the start's random numbers come from; see :func:`graphc.nn.init.seed`.

    Raises:
        GraphError: there is no such activation.
        ShapeError: the heads do not divide ``d_model``; when called, if the input has another last axis.
    """

    def forward(self, src: Operand, mask: Operand | None = None, causal: bool = False) -> Value:
        """The layer's result; ``mask`` and ``causal`` are those of :class:`MultiheadAttention`."""
        x = self._added(
            ops.as_value(src), self.norm1, lambda y: self.dropout1(self.self_attn(y, mask=mask, causal=causal))
        )
        return self._added(x, self.norm2, lambda y: self.dropout2(self._feed_forward(y)))


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the result of an encoder, then two linear layers for each item.

    Float (..., T, d_model) and a memory (..., S, d_model) to (..., T, d_model). Arguments and errors are those of
    :class:`TransformerEncoderLayer`, weights those of PyTorch's layer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.multihead_attn = self._attention()
        self.norm3 = self._norm()
        self.dropout3 = Dropout(self.dropout.rate)

    def forward(
        self,
        tgt: Operand,
        memory: Operand,
        mask: Operand | None = None,
        memory_mask: Operand | None = None,
        causal: bool = False,
    ) -> Value:
        """The layer's result.

        Args:
            tgt: (..., T, d_model).
            memory: (..., S, d_model), what an encoder gave.
            mask: of the self-attention, as ``causal``; see :class:`MultiheadAttention`.
            memory_mask: of the attention to the memory; broadcasts to (..., nhead, T, S).
            causal: whether an item may attend to itself and to those before it alone.
        """
        x = self._added(
            ops.as_value(tgt), self.norm1, lambda y: self.dropout1(self.self_attn(y, mask=mask, causal=causal))
        )
        x = self._added(x, self.norm2, lambda y: self.dropout2(self.multihead_attn(y, memory, mask=memory_mask)))
        return self._added(x, self.norm3, lambda y: self.dropout3(self._feed_forward(y)))


class TransformerEncoder(Module):
    """Layers one after the other, and a norm at the end where one is given.

    For instance::

        layers = [gr.nn.TransformerEncoderLayer(128, 4, norm_first=True) for _ in range(6)]
        encoder = gr.nn.TransformerEncoder(layers, gr.nn.LayerNorm(128))

    PyTorch's takes one layer, whose copies all start with the same weights; here each layer has its own. Names are the
    same: ``layers.0.self_attn.in_proj_weight``, ``norm.weight``.

    Args:
        layers: modules that are called as :class:`TransformerEncoderLayer` is.
        norm: applied to the result of the last layer.
    """

    def __init__(self, layers: Iterable[Module], norm: Module | None = None) -> None:
        self.layers = list(layers)
        self.norm = norm

    def forward(self, src: Operand, mask: Operand | None = None, causal: bool = False) -> Value:
        """The result of the last layer; every layer gets ``mask`` and ``causal``."""
        x = ops.as_value(src)
        for layer in self.layers:
            x = layer(x, mask=mask, causal=causal)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """Layers one after the other, all of which attend to one memory; see :class:`TransformerEncoder`.

    Args:
        layers: modules that are called as :class:`TransformerDecoderLayer` is.
        norm: applied to the result of the last layer.
    """

    def __init__(self, layers: Iterable[Module], norm: Module | None = None) -> None:
        self.layers = list(layers)
        self.norm = norm

    def forward(
        self,
        tgt: Operand,
        memory: Operand,
        mask: Operand | None = None,
        memory_mask: Operand | None = None,
        causal: bool = False,
    ) -> Value:
        """The result of the last layer; every layer gets the memory and the masks."""
        x = ops.as_value(tgt)
        for layer in self.layers:
            x = layer(x, memory, mask=mask, memory_mask=memory_mask, causal=causal)
        return x if self.norm is None else self.norm(x)
