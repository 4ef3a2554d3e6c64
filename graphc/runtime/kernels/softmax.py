"""Softmax and its logarithm along another axis than the last: maxima, exponentials with their sums, then results."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ir.types import TensorType
from graphc.runtime.kernels.axes import EACH_COLUMN_BLOCK, around, column_grain, read_words
from graphc.runtime.kernels.base import Kernel, code, kernel_for

_WORK = 16  # scalar operations for an item


@kernel_for("softmax", "log_softmax")
def softmax(node: Node) -> Kernel:
    """One column after another; along the last axis it goes by rows, see rows.py."""
    outer, size, inner = around(node.output.shape, node.attrs.axis)
    dtype = node.output.dtype
    columns = TensorType(dtype, (outer * inner,))
    return Kernel(
        node.op.name,
        _columns(code(dtype), node.op.name),
        outer * inner,
        (size, inner),
        scratch=(columns, columns),
        work=_WORK * node.output.size,
        grain=column_grain(dtype),
    )


def _columns(dtype: str, name: str) -> str:
    if name == "softmax":
        keep = f"store_{dtype}_1(y, at + i, item)"
        scale = f"{dtype}(1) / load_{dtype}_3(scales, place + i)"
        result = f"load_{dtype}_1(y, at + i) * load_{dtype}_3(scales, place + i)"
    else:
        keep = ""
        scale = f"log(load_{dtype}_3(scales, place + i))"
        shifted = f"load_{dtype}_0(x, at + i) - load_{dtype}_2(maxima, place + i)"
        result = f"fma({dtype}(-1), load_{dtype}_3(scales, place + i), {shifted})"
    return f"""
def kernel(args, lo, hi):
{read_words("x", "y", "maxima", "scales", "size", "inner")}
{EACH_COLUMN_BLOCK}
        place = block * inner
        for i in range(first, last):
            store_{dtype}_2(maxima, place + i, {dtype}(-1e999))
            store_{dtype}_3(scales, place + i, {dtype}(0))
        for row in range(block * size, (block + 1) * size):
            at = row * inner
            for i in range(first, last):
                largest = maximum(load_{dtype}_2(maxima, place + i), load_{dtype}_0(x, at + i))
                store_{dtype}_2(maxima, place + i, largest)
        for row in range(block * size, (block + 1) * size):
            at = row * inner
            for i in range(first, last):
                item = exp(load_{dtype}_0(x, at + i) - load_{dtype}_2(maxima, place + i))
                {keep}
                store_{dtype}_3(scales, place + i, load_{dtype}_3(scales, place + i) + item)
        for i in range(first, last):
            store_{dtype}_3(scales, place + i, {scale})
        for row in range(block * size, (block + 1) * size):
            at = row * inner
            for i in range(first, last):
                store_{dtype}_1(y, at + i, {result})
"""
