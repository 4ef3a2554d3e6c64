"""Memory for results: that of earlier ones, once nothing refers to them any more.

The operating system hands out large pieces of memory page by page, at the first touch of each: for a result that is
new at every call this takes longer than to compute it. A result is therefore a view of a block that is remembered.
Whatever can still reach its items, be it the array, a view of it, a memoryview or a tensor of another library, holds a
reference to the block, so the block's count of references says when it is free.
"""

from __future__ import annotations

import functools
import math
import sys
import weakref
from collections.abc import Callable

import numpy as np

from graphc.ir.op import Array
from graphc.runtime.memory import ALIGNMENT

__all__ = ["ResultMemory"]

_LEAST_BYTES = 1 << 17
"""Smaller results come from the heap, which recycles its memory itself."""

_MOST_BYTES = 1 << 27
"""Of all blocks that are remembered, together."""

_MOST_BLOCKS = 64


def _references(blocks: list[Array], place: int) -> int:
    return sys.getrefcount(blocks[place])


_counts = hasattr(sys, "getrefcount") and getattr(sys, "_is_gil_enabled", lambda: True)()
_UNUSED = _references([np.empty(0)], 0) if _counts else -1
"""The count of references to a block that only its list refers to."""


class ResultMemory:
    """Makes arrays for results; for one thread at a time."""

    def __init__(self) -> None:
        self._blocks: list[Array] = []

    def maker(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Callable[[], Array]:
        """A function that makes an array whose items are not set, and which shares them with no other array in use."""
        size = math.prod(shape) * dtype.itemsize
        if not _counts or not _LEAST_BYTES <= size <= _MOST_BYTES:
            return functools.partial(np.empty, shape, dtype)
        return functools.partial(self._make, size, shape, dtype)

    def _make(self, size: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
        block = self._free(size + ALIGNMENT)
        return np.ndarray(shape, dtype, block, offset=-block.ctypes.data % ALIGNMENT)

    def _free(self, size: int) -> Array:
        """A block of a size that nothing else refers to; also not weakly, through the base of a result."""
        blocks = self._blocks
        for place in range(len(blocks)):
            fits = blocks[place].nbytes == size
            if fits and _references(blocks, place) == _UNUSED and not weakref.getweakrefcount(blocks[place]):
                return blocks[place]
        made = np.empty(size, np.uint8)
        blocks.append(made)
        while len(blocks) > _MOST_BLOCKS or sum(block.nbytes for block in blocks) > _MOST_BYTES + ALIGNMENT:
            del blocks[0]
        return made
