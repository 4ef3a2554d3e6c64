"""Positions as numbers for a network: sinusoids to add, rotations of queries and keys.

Angles are computed in float64: those of far positions are large, and only their remainder counts.
"""

from __future__ import annotations

import numpy as np

from graphc.errors import ShapeError
from graphc.ir.graph import Value
from graphc.ir.operators import Operand
from graphc.ir.ops.arithmetic import add, multiply, subtract
from graphc.ir.ops.assemble import concatenate, split, stack
from graphc.ir.ops.conversion import cast, float_dtype
from graphc.ir.ops.creation import DTypeLike, iota
from graphc.ir.ops.leaves import as_value
from graphc.ir.ops.shape import broadcast_to, expand_dims, reshape
from graphc.ir.ops.transcendental import cos, sin
from graphc.ir.types import dtype_of, float64

__all__ = ["positional_encoding", "rotary_embedding"]


def positional_encoding(positions: Operand, dim: int, base: float = 10_000.0, dtype: DTypeLike = "float32") -> Value:
    """Sinusoids of positions: item 2i of the last axis is ``sin(p * base**(-2i / dim))``, item 2i + 1 its cosine.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.5.

    Args:
        positions: numbers of any shape; ``gr.arange(x.shape[-2])`` for those of a sequence.
        dim: the size of the new last axis, even.
        base: the ratio of the longest wavelength to the shortest, but for one step.
        dtype: of the result.

    Returns:
        Shape (*positions.shape, dim).

    Raises:
        ShapeError: ``dim`` is odd or negative.
    """
    if dim % 2 or dim < 0:
        raise ShapeError(f"positional_encoding: {dim} numbers for a position", expected="an even number of them")
    angles = _angles(positions, dim, base)
    pairs = stack([sin(angles), cos(angles)], axis=-1)
    return cast(reshape(pairs, (*angles.shape[:-1], dim)), dtype_of(dtype))


def rotary_embedding(
    x: Operand, positions: Operand | None = None, base: float = 10_000.0, interleaved: bool = True
) -> Value:
    """Pairs of items of the last axis, rotated by angles that grow with the position.

    Of queries and keys that were rotated so, the products depend on the distance of their positions alone: apply it to
    both before :func:`graphc.attention`. Pair i is rotated by ``p * base**(-2i / D)``.

    Source: Su et al. 2021, "RoFormer: Enhanced transformer with rotary position embedding", section 3.2.2.

    Args:
        x: shape (..., T, D), with an even D. Integers become floats.
        positions: numbers that broadcast to shape (..., T); 0 to T - 1 where not given.
        base: see :func:`positional_encoding`.
        interleaved: whether items 2i and 2i + 1 are a pair, as in the paper; else items i and i + D / 2, as in GPT-NeoX
            and LLaMA.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: the last axis is not of even fixed size, or the positions do not fit.
    """
    value = as_value(x)
    value = cast(value, float_dtype(value.dtype))
    if value.ndim < 2 or not isinstance(value.shape[-1], int) or value.shape[-1] % 2:
        raise ShapeError(f"rotary_embedding of {value.type}", expected="shape (..., T, D), where D is an even number")
    depth = value.shape[-1]
    places = broadcast_to(iota(value.shape[-2]) if positions is None else positions, value.shape[:-1])
    axis, halves = (-1, (depth // 2, 2)) if interleaved else (-2, (2, depth // 2))
    first, second = split(reshape(value, (*value.shape[:-1], *halves)), 2, axis)
    angles = expand_dims(_angles(places, depth, base), axis)
    c, s = cast(cos(angles), value.dtype), cast(sin(angles), value.dtype)
    x = subtract(multiply(first, c), multiply(second, s))
    y = add(multiply(first, s), multiply(second, c))
    return reshape(concatenate([x, y], axis), value.shape)


def _angles(positions: Operand, dim: int, base: float) -> Value:
    """Positions times the frequencies of pairs of items, shape (..., dim / 2)."""
    frequencies = np.power(float(base), -np.arange(0, dim, 2) / max(dim, 1))
    return multiply(expand_dims(cast(positions, float64), -1), frequencies)
