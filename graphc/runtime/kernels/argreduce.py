"""The places of extremes: the first among equals, and NaN before all numbers."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ir.types import TensorType, uint8
from graphc.runtime.kernels.axes import EACH_COLUMN_BLOCK, around, column_grain, read_words
from graphc.runtime.kernels.base import Kernel, code, kernel_for


@kernel_for("argmax", "argmin")
def argreduce(node: Node) -> Kernel:
    """A search for the extreme of each row, or of all columns at once."""
    x, name = node.inputs[0], node.op.name
    outer, size, inner = around(x.shape, node.attrs.axis)
    dtype = uint8 if x.dtype.is_bool else x.dtype  # bytes of bools compare as their numbers do
    if inner == 1:
        return Kernel(name, _rows(code(dtype), name, dtype.is_float), outer, (size,), work=2 * x.size)
    return Kernel(
        name,
        _columns(code(dtype), ">" if name == "argmax" else "<", dtype.is_float),
        outer * inner,
        (size, inner),
        scratch=(TensorType(dtype, (outer * inner,)),),
        work=2 * x.size,
        grain=column_grain(dtype),
    )


def _rows(dtype: str, name: str, may_be_nan: bool) -> str:
    """A vectorised pass for the extreme, then a search for its place that ends where it is found."""
    combine = "maximum" if name == "argmax" else "minimum"
    missed = "item != extreme and item == item" if may_be_nan else "item != extreme"
    return f"""
def kernel(args, lo, hi):
{read_words("x", "out", "size")}
    for row in range(lo, hi):
        start = row * size
        place = i64(0)
        if size > 0:
            extreme = load_{dtype}_0(x, start)
            for i in range(start + 1, start + size):
                extreme = {combine}(extreme, load_{dtype}_0(x, i))
            item = load_{dtype}_0(x, start)
            while {missed}:
                place += 1
                item = load_{dtype}_0(x, start + place)
        store_i64_1(out, row, place)
"""


def _columns(dtype: str, better: str, may_be_nan: bool) -> str:
    wins = f"(k == 0) | (item {better} extreme)"
    if may_be_nan:
        wins += " | ((item != item) & (extreme == extreme))"
    return f"""
def kernel(args, lo, hi):
{read_words("x", "out", "extremes", "size", "inner")}
{EACH_COLUMN_BLOCK}
        place = block * inner
        for i in range(first, last):
            store_i64_1(out, place + i, i64(0))
        for k in range(size):
            at = (block * size + k) * inner
            for i in range(first, last):
                item = load_{dtype}_0(x, at + i)
                extreme = load_{dtype}_2(extremes, place + i)
                wins = {wins}
                store_{dtype}_2(extremes, place + i, item if wins else extreme)
                store_i64_1(out, place + i, k if wins else load_i64_1(out, place + i))
"""
