"""Values from nothing but their shape."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.runtime.kernels.base import Kernel, code, kernel_for


@kernel_for("iota")
def iota(node: Node) -> Kernel:
    """The whole numbers from 0 on."""
    dtype = code(node.output.dtype)
    source = f"""
def kernel(args, lo, hi):
    out = integer(args, 0)
    for i in range(lo, hi):
        store_{dtype}_0(out, i, {dtype}(i))
"""
    return Kernel("iota", source, node.output.size, work=node.output.size)
