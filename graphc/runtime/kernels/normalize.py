"""Rows brought to unit variance, and the gradient of that: a row stays in the cache from its sums to its result."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.runtime.kernels.axes import around, read_words
from graphc.runtime.kernels.base import Kernel, code, kernel_for

_WORK = 6  # scalar operations for an item


@kernel_for("normalize", "normalize_grad")
def normalize(node: Node) -> Kernel:
    """One row after another."""
    x = node.inputs[0]
    rows, size, _ = around(x.shape, x.ndim - 1)
    make = _rows if node.op.name == "normalize" else _gradients
    source = make(code(x.dtype), node.attrs.centered)
    return Kernel(node.op.name, source, rows, (size,), work=_WORK * x.size)


def _rows(dtype: str, centered: bool) -> str:
    """The corrected two-pass algorithm (Chan, Golub, LeVeque, Algorithms for computing the sample variance, 1983).

    The mean is the sum of ``shift`` and ``rest``, which is what rounding left of it. Where they are taken away stands a
    fused operation, which is not reassociated: a sum of both would be rounded to the precision of a large mean.
    """
    shifted = f"fma({dtype}(-1), shift, load_{dtype}_0(x, i))"
    if centered:
        statistics = f"""\
        total = {dtype}(0)
        for i in range(start, start + size):
            total += load_{dtype}_0(x, i)
        shift = total / {dtype}(size)
        total = {dtype}(0)
        squares = {dtype}(0)
        for i in range(start, start + size):
            deviation = {shifted}
            total += deviation
            squares += deviation * deviation
        rest = total / {dtype}(size)
        variance = maximum(squares / {dtype}(size) - rest * rest, {dtype}(0))"""
        result = f"fma({shifted}, factor, -rest * factor)"
    else:
        statistics = f"""\
        squares = {dtype}(0)
        for i in range(start, start + size):
            squares += load_{dtype}_0(x, i) * load_{dtype}_0(x, i)
        variance = squares / {dtype}(size)"""
        result = f"load_{dtype}_0(x, i) * factor"
    return f"""
def kernel(args, lo, hi):
{read_words("x", "eps", "y", "rstd", "size")}
    for row in range(lo, hi):
        start = row * size
{statistics}
        factor = rsqrt(variance + load_{dtype}_1(eps, 0))
        store_{dtype}_3(rstd, row, factor)
        for i in range(start, start + size):
            store_{dtype}_2(y, i, {result})
"""


def _gradients(dtype: str, centered: bool) -> str:
    add, mean = ("total += item", f"total / {dtype}(size)") if centered else ("", f"{dtype}(0)")
    return f"""
def kernel(args, lo, hi):
{read_words("g", "y", "rstd", "dx", "size")}
    for row in range(lo, hi):
        start = row * size
        total = {dtype}(0)
        products = {dtype}(0)
        for i in range(start, start + size):
            item = load_{dtype}_0(g, i)
            products += item * load_{dtype}_1(y, i)
            {add}
        mean = {mean}
        slope = products / {dtype}(size)
        factor = load_{dtype}_2(rstd, row)
        for i in range(start, start + size):
            rest = load_{dtype}_0(g, i) - mean - slope * load_{dtype}_1(y, i)
            store_{dtype}_3(dx, i, factor * rest)
"""
