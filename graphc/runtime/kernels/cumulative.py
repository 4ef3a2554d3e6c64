"""Cumulative sums, and products of all other items, along an axis: in order, from its start or its end."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.ir.types import TensorType
from graphc.runtime.kernels.axes import EACH_COLUMN_BLOCK, around, column_grain, read_words
from graphc.runtime.kernels.base import Kernel, code, kernel_for


@kernel_for("cumsum")
def cumsum(node: Node) -> Kernel:
    """Each sum is the one before it and an item."""
    (x,) = node.inputs
    outer, size, inner = around(x.shape, node.attrs.axis)
    dtype = code(x.dtype)
    place = "size - 1 - k" if node.attrs.reverse else "k"
    if inner == 1:
        source = f"""
def kernel(args, lo, hi):
{read_words("x", "y", "size")}
    for row in range(lo, hi):
        total = {dtype}(0)
        for k in range(size):
            at = row * size + {place}
            total = {dtype}(total + load_{dtype}_0(x, at))
            store_{dtype}_1(y, at, total)
"""
        return Kernel("cumsum", source, outer, (size,), work=2 * x.size)
    source = f"""
def kernel(args, lo, hi):
{read_words("x", "y", "size", "inner")}
{EACH_COLUMN_BLOCK}
        before = 0
        for k in range(size):
            at = (block * size + {place}) * inner
            if k == 0:
                for i in range(first, last):
                    store_{dtype}_1(y, at + i, load_{dtype}_0(x, at + i))
            else:
                for i in range(first, last):
                    total = load_{dtype}_1(y, before + i) + load_{dtype}_0(x, at + i)
                    store_{dtype}_1(y, at + i, {dtype}(total))
            before = at
"""
    return Kernel("cumsum", source, outer * inner, (size, inner), work=2 * x.size, grain=column_grain(x.dtype))


@kernel_for("exclusive_prod")
def exclusive_prod(node: Node) -> Kernel:
    """The product of the items before each, on the way there; times that of the items after it, on the way back."""
    (x,) = node.inputs
    outer, size, inner = around(x.shape, node.attrs.axis)
    dtype = code(x.dtype)
    if inner == 1:
        source = f"""
def kernel(args, lo, hi):
{read_words("x", "y", "size")}
    for row in range(lo, hi):
        product = {dtype}(1)
        for k in range(size):
            at = row * size + k
            store_{dtype}_1(y, at, product)
            product = product * load_{dtype}_0(x, at)
        product = {dtype}(1)
        for k in range(size):
            at = row * size + size - 1 - k
            store_{dtype}_1(y, at, load_{dtype}_1(y, at) * product)
            product = product * load_{dtype}_0(x, at)
"""
        return Kernel("exclusive_prod", source, outer, (size,), work=4 * x.size)
    source = f"""
def kernel(args, lo, hi):
{read_words("x", "y", "products", "size", "inner")}
{EACH_COLUMN_BLOCK}
        place = block * inner
        for i in range(first, last):
            store_{dtype}_2(products, place + i, {dtype}(1))
        for k in range(size):
            at = (block * size + k) * inner
            for i in range(first, last):
                product = load_{dtype}_2(products, place + i)
                store_{dtype}_1(y, at + i, product)
                store_{dtype}_2(products, place + i, product * load_{dtype}_0(x, at + i))
        for i in range(first, last):
            store_{dtype}_2(products, place + i, {dtype}(1))
        for k in range(size):
            at = (block * size + size - 1 - k) * inner
            for i in range(first, last):
                product = load_{dtype}_2(products, place + i)
                store_{dtype}_1(y, at + i, load_{dtype}_1(y, at + i) * product)
                store_{dtype}_2(products, place + i, product * load_{dtype}_0(x, at + i))
"""
    return Kernel(
        "exclusive_prod",
        source,
        outer * inner,
        (size, inner),
        scratch=(TensorType(x.dtype, (outer * inner,)),),
        work=4 * x.size,
        grain=column_grain(x.dtype),
    )
