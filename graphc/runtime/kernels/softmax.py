"""Softmax and its logarithm: passes for the maximum, the exponentials with their sum, and the results."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ir.types import TensorType
from graphc.runtime.kernels.axes import EACH_COLUMN_BLOCK, around, column_grain, read_words
from graphc.runtime.kernels.base import Kernel, code, kernel_for

_WORK = 16  # scalar operations for an item


@kernel_for("softmax", "log_softmax")
def softmax(node: Node) -> Kernel:
    """One row or column after another."""
    outer, size, inner = around(node.output.shape, node.attrs.axis)
    dtype, work = node.output.dtype, _WORK * node.output.size
    name = node.op.name
    if inner == 1:
        rows = _softmax_rows if name == "softmax" else _log_softmax_rows
        return Kernel(name, rows(code(dtype)), outer, (size,), work=work)
    columns = TensorType(dtype, (outer * inner,))
    return Kernel(
        name,
        _columns(code(dtype), name),
        outer * inner,
        (size, inner),
        scratch=(columns, columns),
        work=work,
        grain=column_grain(dtype),
    )


def _softmax_rows(dtype: str) -> str:
    return f"""
def kernel(args, lo, hi):
{read_words("x", "y", "size")}
    for row in range(lo, hi):
        start = row * size
        largest = {dtype}(-1e999)
        for i in range(start, start + size):
            largest = maximum(largest, load_{dtype}_0(x, i))
        total = {dtype}(0)
        for i in range(start, start + size):
            item = exp(load_{dtype}_0(x, i) - largest)
            store_{dtype}_1(y, i, item)
            total += item
        share = {dtype}(1) / total
        for i in range(start, start + size):
            store_{dtype}_1(y, i, load_{dtype}_1(y, i) * share)
"""


def _log_softmax_rows(dtype: str) -> str:
    # A fused operation is not reassociated: x - (largest + logarithm) would be rounded to the precision of largest.
    return f"""
def kernel(args, lo, hi):
{read_words("x", "y", "size")}
    for row in range(lo, hi):
        start = row * size
        largest = {dtype}(-1e999)
        for i in range(start, start + size):
            largest = maximum(largest, load_{dtype}_0(x, i))
        total = {dtype}(0)
        for i in range(start, start + size):
            total += exp(load_{dtype}_0(x, i) - largest)
        logarithm = log(total)
        for i in range(start, start + size):
            store_{dtype}_1(y, i, fma({dtype}(-1), logarithm, load_{dtype}_0(x, i) - largest))
"""


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
