"""Gathering the rows of a batch: from an array that may be strided and of another dtype, in a given order."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from graphc.ir.op import Array
from graphc.ir.types import DType
from graphc.record import record
from graphc.runtime.jit.loader import load
from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.kernels.base import CODES, code

__all__ = ["ORDER_WORD", "RowLayout", "gather_kernel", "gather_words", "row_layout"]

ORDER_WORD = 2
"""The word of the kernel's table with the address of the row numbers, which moves from batch to batch."""

# How items are read: by what code, and what is made of one. There are unsigned numbers that kernels have no type of.
_READS = {np.dtype(name): (code, "{}") for name, code in CODES.items()} | {
    np.dtype(np.uint16): ("i16", "i64({}) & 0xFFFF"),
    np.dtype(np.uint32): ("i32", "i64({}) & 0xFFFFFFFF"),
}


@record
class RowLayout:
    """How the items of an array's rows lie, with axes that are stepped through alike merged.

    Attributes:
        dtype: of the items.
        stride: from a row to the next, in items.
        axes: pairs of a size and a stride in items, outermost first, at least one.
    """

    dtype: np.dtype[np.generic]
    stride: int
    axes: tuple[tuple[int, int], ...]

    @property
    def dense(self) -> bool:
        """Whether the items of a row are next to each other."""
        return len(self.axes) == 1 and (self.axes[0][1] == 1 or self.axes[0][0] <= 1)


def row_layout(array: Array) -> RowLayout | None:
    """The layout of the rows along the first axis; None for items that kernels cannot read where they lie."""
    size = array.itemsize
    if array.dtype not in _READS or not array.flags.aligned:
        return None
    if any(by % size for length, by in zip(array.shape, array.strides, strict=True) if length > 1):
        return None
    axes: list[tuple[int, int]] = []
    for length, stride in zip(array.shape[1:], array.strides[1:], strict=True):
        step = stride // size
        if length == 1:
            continue
        if axes and axes[-1][1] == length * step:
            axes[-1] = axes[-1][0] * length, step
        else:
            axes.append((length, step))
    return RowLayout(array.dtype, array.strides[0] // size, tuple(axes) or ((1, 1),))


def gather_kernel(layout: RowLayout, wanted: DType) -> int:
    """The address of a kernel that gathers rows into a batch of the dtype ``wanted``, densely.

    The words of its table: the addresses of the array, of the batch and of the row numbers; those of
    :func:`gather_words`; the address of the status words. An integer that ``wanted`` cannot hold is a fault, with its
    place in the batch as the position.
    """
    return _address(layout.dtype, len(layout.axes), layout.dense, wanted)


@functools.cache
def _address(dtype: np.dtype[np.generic], rank: int, dense: bool, wanted: DType) -> int:
    [address] = load([KernelRequest(_source(dtype, rank, dense, wanted), "kernel")])
    return address


def _source(dtype: np.dtype[np.generic], rank: int, dense: bool, wanted: DType) -> str:
    found, item = _READS[dtype]
    made = code(wanted)
    words = ["array", "batch", "order", "stride", *(f"size{k}" for k in range(rank)), *(f"by{k}" for k in range(rank))]
    lines = ["def kernel(args, lo, hi):"]
    lines += [f"    {word} = integer(args, {place})" for place, word in enumerate([*words, "status"])]
    lines += [
        f"    items = {' * '.join(f'size{k}' for k in range(rank))}",
        "    for row in range(lo, hi):",
        f"        from0 = load_i64_{ORDER_WORD}(order, row) * stride",
        "        to0 = row * items",
    ]
    for k in range(rank):
        inner = " * ".join(f"size{j}" for j in range(k + 1, rank)) or "1"
        by = "1" if dense else f"by{k}"
        depth = "    " * (k + 2)
        lines += [
            f"{depth}for i{k} in range(size{k}):",
            f"{depth}    from{k + 1} = from{k} + i{k} * {by}",
            f"{depth}    to{k + 1} = to{k} + i{k} * {inner}",
        ]
    read = item.format(f"load_{found}_0(array, from{rank})")
    body = [f"item = {read}", f"store_{made}_1(batch, to{rank}, {made}(item))"]
    if wanted.is_integer and not np.can_cast(dtype, wanted.numpy, "safe"):
        body += [f"if i64({made}(item)) != i64(item):", f"    report_fault(status, 1, i64(item), to{rank})"]
    lines += ["    " * (rank + 2) + line for line in body]
    return "\n" + "\n".join(lines) + "\n"


def gather_words(layout: RowLayout) -> Sequence[int]:
    """The words of the table that tell of the layout."""
    return layout.stride, *(size for size, _ in layout.axes), *(by for _, by in layout.axes)
