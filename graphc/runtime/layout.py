"""In which order the axes of each result lie in memory.

Convolutions want images batch-innermost, and so do those whose results they read, back to where the images come from.
Other results follow their operands, as in NumPy's order "K", so that what is computed from a convolution lies like it;
except what is handed out, kept in a variable, or read by a kernel that knows the axes in their own order only.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Graph, Node, Value
from graphc.runtime.kernels.base import view_kernels
from graphc.runtime.kernels.conv import IMAGES, batch_innermost
from graphc.runtime.views import View, memory_order, nominal

__all__ = ["Layouts", "operand_order"]


class Layouts:
    """What the readers of values ask of their layout."""

    def __init__(self, graph: Graph) -> None:
        self._wishes: dict[Value, tuple[int, ...]] = {}
        self._in_order = {*graph.outputs, *(value for _, value in graph.updates)}
        for node in reversed(graph.nodes):
            for place, value in enumerate(node.inputs):
                self._ask(node, place, value)

    def _ask(self, node: Node, place: int, value: Value) -> None:
        name, output = node.op.name, node.outputs[0]
        if name in IMAGES:
            if place in IMAGES[name]:
                self._wishes[value] = batch_innermost(value.ndim)
        elif name == "reshape":
            if output in self._in_order:
                self._in_order.add(value)
            if output in self._wishes and value.ndim == 2 and value.shape[0] == output.shape[0]:
                self._wishes[value] = batch_innermost(2)  # rows are images: their batch is the first axis of both
        elif _follows(node):
            wishes = [self._wishes[each] for each in node.outputs if each in self._wishes]
            if wishes and value.ndim == output.ndim:
                self._wishes.setdefault(value, wishes[0])
        elif not (node.op.view or name == "matmul" or (name == "gemm" and place in (1, 2))):
            self._in_order.add(value)

    def order(self, value: Value, operands: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        """The axes of a result from the outermost to the innermost, given how its operands lie; None for their own."""
        if value in self._wishes:
            return self._wishes[value]
        return None if value in self._in_order else operands


def _follows(node: Node) -> bool:
    """Whether the results of an operation follow the layout of its operands."""
    op = node.op
    return (
        op.expression is not None
        or op.reduction is not None
        or op.name in view_kernels
        or op.name in ("fused", "concatenate", "pad", "slice")
    )


def operand_order(views: Sequence[View], ndim: int) -> tuple[int, ...] | None:
    """The order of the largest of the operands that have so many axes; among equals, one that is not in order."""

    def rank(view: View) -> tuple[int, bool]:
        items = 1
        for size, stride in zip(view.shape, view.strides, strict=True):
            items *= nominal(size) if stride != 0 else 1
        return -items, view.contiguous

    ranked = sorted((view for view in views if len(view.shape) == ndim), key=rank)
    if not ranked:
        return None
    shape = tuple(max((view.shape[axis] for view in ranked), key=nominal) for axis in range(ndim))
    rows = [[0 if size == 1 else stride for size, stride in zip(v.shape, v.strides, strict=True)] for v in ranked]
    return memory_order(rows, shape)
