"""Scaled dot-product attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from graphc.errors import DTypeError, ShapeError
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import divide
from graphc.ir.ops.attend import attend, composed_attention
from graphc.ir.ops.conversion import cast, float_dtype, promoted
from graphc.ir.ops.leaves import as_value, dim_size
from graphc.ir.ops.shape import reshape
from graphc.ir.ops.transcendental import sqrt
from graphc.ir.source import scope
from graphc.ir.types import Shape, broadcast_shapes, shape_text, unify

__all__ = ["attention"]

Dropout: TypeAlias = Callable[[Value], Value]


def attention(
    q: Operand,
    k: Operand,
    v: Operand,
    mask: Operand | None = None,
    causal: bool = False,
    scale: Operand | None = None,
    *,
    dropout: Dropout | None = None,
) -> Value:
    """``softmax(scale * q @ k.T + mask) @ v``: for each query, the mean of the values weighted by how its keys fit.

    The arguments mean what they mean for PyTorch's ``scaled_dot_product_attention``, but that a mask and ``causal`` go
    together. A query that may attend to no key gives 0, and passes no gradient on.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.2.1.

    Args:
        q: queries, shape (..., T, D). Integers become floats; so do those of ``k`` and ``v``.
        k: keys, shape (..., S, D).
        v: values, shape (..., S, E). The axes before the last two of all three broadcast.
        mask: of a shape that broadcasts to (..., T, S); bool: where a query may attend to a key; float: numbers that
            are added to the scores, where -inf forbids. It may have leading axes that q, k and v lack.
        causal: whether query t may attend to keys 0 to t alone, also where T and S differ.
        scale: of the scores, a scalar; ``1 / sqrt(D)`` where not given.
        dropout: applied to the weights: a function of a value of shape (..., T, S), such as ``gr.nn.Dropout(0.1)``.

    Returns:
        Shape (..., T, E), of the dtype that the floats meet in.

    Raises:
        ShapeError: an operand has fewer than two axes, the shapes do not fit, or ``scale`` is not a scalar.
        DTypeError: the mask is of integers.
    """
    given = as_value(mask) if mask is not None else None
    if given is not None and given.dtype.is_integer:
        raise DTypeError(
            f"attention: a mask of dtype {given.dtype}",
            expected="bool (true where a query may attend to a key), or floats to add to the scores",
            remedy="compare it, as in mask != 0",
        )
    floats = [as_value(operand) for operand in (q, k, v)]
    floats += [given] if given is not None and given.dtype.is_float else []
    queries, keys, values, *bias = promoted([cast(value, float_dtype(value.dtype)) for value in floats])
    _check_shapes(queries, keys, values, given)
    with scope("attention"):
        factor = _scale(queries, scale)
        masks = [bias[0] if bias else given] if given is not None else []
        masks = [reshape(each, (1,) * (2 - each.ndim) + each.shape) if each.ndim < 2 else each for each in masks]
        if dropout is not None:
            return composed_attention(queries, keys, values, factor, masks, causal, dropout)
        return attend(queries, keys, values, factor, masks, causal)


def _scale(queries: Value, scale: Operand | None) -> Value:
    if scale is not None:
        given = as_value(scale, queries.dtype)
        if given.ndim:
            raise ShapeError(f"attention: a scale of shape {shape_text(given.shape)}", expected="a scalar")
        return given
    depth = queries.shape[-1]
    if isinstance(depth, int):
        return as_value(1 / math.sqrt(max(depth, 1)), queries.dtype)
    return divide(1.0, sqrt(cast(dim_size(depth), queries.dtype)))


def _check_shapes(queries: Value, keys: Value, values: Value, mask: Value | None) -> None:
    shapes = f"attention: q of {queries.type}, k of {keys.type} and v of {values.type}"
    if min(value.ndim for value in (queries, keys, values)) < 2:
        raise ShapeError(shapes, expected="two axes or more each", remedy="add axes, as in q[None]")
    if unify(queries.shape[-1], keys.shape[-1]) is None or unify(keys.shape[-2], values.shape[-2]) is None:
        raise ShapeError(shapes, expected="shapes (..., T, D), (..., S, D) and (..., S, E)")
    leading = broadcast_shapes(*(value.shape[:-2] for value in (queries, keys, values)))
    scores = (*leading, queries.shape[-2], keys.shape[-2])
    if mask is not None and not _broadcasts(mask.shape, scores):
        raise ShapeError(
            f"{shapes}, with a mask of shape {shape_text(mask.shape)}",
            expected=f"a mask that broadcasts to {shape_text(scores)}",
            remedy="give a mask of keys for each example the shape (batch, 1, S), or (batch, 1, 1, S) with heads",
        )


def _broadcasts(mask: Shape, scores: Shape) -> bool:
    """Whether a mask meets the scores without repeating their last two axes."""
    try:
        met = broadcast_shapes(mask, scores)
    except ShapeError:
        return False
    return all(unify(size, own) is not None for size, own in zip(met[-2:], scores[-2:], strict=True))
