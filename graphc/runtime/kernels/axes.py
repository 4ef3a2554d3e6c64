"""What the sources of kernels that work along one axis have in common.

Around the axis, an operand is seen as (outer, size, inner). Where the axis is the last, a kernel goes row by row; else
it goes over columns, the pairs of outer and inner, so that the inner loop is a vector operation.
"""

from __future__ import annotations

from graphc.ir.dims import Size, product
from graphc.ir.types import DType, Shape

__all__ = ["EACH_COLUMN_BLOCK", "around", "column_grain", "read_words"]

_CACHE_LINE = 64

EACH_COLUMN_BLOCK = """\
    for block in range(lo // max(inner, 1), (hi + inner - 1) // max(inner, 1)):
        first = max(lo - block * inner, 0)
        last = min(hi - block * inner, inner)"""
"""Lines over the columns ``lo`` to ``hi``: those from ``first`` to ``last`` of the outer index ``block`` at a time."""


def around(shape: Shape, axis: int) -> tuple[Size, Size, Size]:
    """Items outside, on, and inside the axis."""
    return product(shape[:axis]), shape[axis], product(shape[axis + 1 :])


def column_grain(dtype: DType) -> int:
    """The fewest columns that are worth a call: threads that share a cache line of the result hinder each other."""
    return _CACHE_LINE // dtype.itemsize


def read_words(*names: str) -> str:
    """Lines that name the words of the kernel's table."""
    return "\n".join(f"    {name} = integer(args, {word})" for word, name in enumerate(names))
