"""The matrix product: our own routine, compiled once and called by address.

As in BLIS (Van Zee & van de Geijn 2015), strips of B are packed into panels, one of which stays in the first-level
cache while a register tile of a few rows goes down the rows of A with it; the rows of A come in blocks that stay in the
second-level cache. A is read where it lies, in either order, unless it is transposed with its columns so far apart that
they would drive each other out of the caches: then a block of it is copied. So there is one routine for all layouts.
Tiles share the rows of a block evenly: there is a tile of one row less, so that few rows are computed in vain.
Every item of C is summed in the order of the depth, in blocks of :data:`DEPTH`, however the rows and columns are cut:
the bits do not depend on the number of threads. A single row or column has no tile to fill: it is summed as B is read.
"""

from __future__ import annotations

import functools

from graphc.runtime.jit.request import KernelRequest
from graphc.runtime.kernels.registers import lanes, tile_rows

__all__ = ["DEPTH", "product_routine"]

DEPTH = 256
"""Rows of a packed panel: with 16 columns of float32, half of a first-level cache."""

_PANELS = 16
"""How many panels are packed before the rows of A go by: with float32, a quarter of a megabyte."""

_BESIDE = 4
"""How many panels are packed at a time, where the columns of B lie together."""

_HEIGHT = 36
"""Rows of A that go by at a time: with float32, about as much as a first-level cache holds."""

_FAR_BYTES = 2048
"""Columns of a transposed A that are so far apart share few sets of a cache."""

_WORTH_COPYING = 64
"""Columns of B for which a copy of a block of A pays."""


def product_routine(kind: str) -> KernelRequest:
    """``product(a, a_row, a_column, b, b_row, b_column, c, c_row, m, n, k, alpha, beta)``: C = beta C + alpha A B.

    The matrices are addresses and strides in items, C with dense rows; C is not read where beta is 0.
    """
    return _routine(kind, lanes(kind), tile_rows())


@functools.cache
def _routine(kind: str, lanes: int, rows: int) -> KernelRequest:
    size, number = (4, "float32") if kind == "f32" else (8, "float64")
    width = 2 * lanes
    source = _ROUTINE.format(
        kind=kind,
        size=size,
        lanes=lanes,
        width=width,
        rows=rows,
        fewer=rows - 1,
        panels=DEPTH * width * _PANELS,
        side=width * _PANELS,
        beside=_BESIDE,
        together=width * _BESIDE,
        depth=DEPTH,
        height=_HEIGHT,
        copy=_HEIGHT * DEPTH,
        far=_FAR_BYTES,
        worth=_WORTH_COPYING,
    )
    words = ", ".join(["int64"] * 11)
    return KernelRequest(source, "product", f"int64({words}, {number}, {number})")


_ROUTINE = """
def product(a, a_row, a_column, b, b_row, b_column, c, c_row, m, n, k, alpha, beta):
    panels = stack_{kind}_{panels}()
    copy = stack_{kind}_{copy}()
    a_row, a_column, b_row = a_row * {size}, a_column * {size}, b_row * {size}
    b_column, c_row = b_column * {size}, c_row * {size}
    if n == 1 and c_row == {size}:
        a, a_row, a_column, b, b_row, b_column, m, n = b, b_column, b_row, a, a_column, a_row, 1, m
    if k == 0 or m == 1:
        scale_{kind}_{lanes}(c, c_row, m, n, beta)
        if m == 1 and b_row == {size} and a_column == {size}:
            dots_{kind}_{lanes}(a, b, b_column, c, k, n, alpha)
        elif m == 1:
            add_rows_{kind}_{lanes}(a, a_column, b, b_row, b_column, c, k, n, alpha)
        return 0
    blocks = (k + {depth} - 1) // {depth}
    most = (k + blocks * {lanes} - 1) // (blocks * {lanes}) * {lanes}
    copied = n >= {worth} and a_column != {size} and (a_row != {size} or a_column >= {far})
    for side in range(0, n, {side}):
        across = min({side}, n - side)
        for first in range(0, k, max(most, 1)):
            depth = min(most, k - first)
            keep = beta if first == 0 else {kind}(1)
            corner, apart = b + first * b_row + side * b_column, {size} * depth
            together = across // {together} * {together} if b_column == {size} else 0
            for left in range(0, together, {together}):
                start = corner + left * {size}
                pack_side_{kind}_{beside}x{lanes}(start, b_row, depth, panels + left * apart, {width} * apart)
            for left in range(together, across, {width}):
                columns = min({width}, across - left)
                pack_{kind}_{lanes}(corner + left * b_column, b_column, b_row, columns, depth, panels + left * apart)
            for top in range(0, m, {height}):
                tall = min({height}, m - top)
                tiles = (tall + {rows} - 1) // {rows}
                high, higher = tall // tiles, tall % tiles
                strip, down, along, step = a + top * a_row + first * a_column, a_row, a_column, a_row
                if copied:
                    high, higher, step = {rows}, 0, {size} * depth
                    turn_{kind}_{rows}(strip, a_row, a_column, copy, {rows} * step, depth, tall)
                    strip, down, along = copy, {size}, {rows} * {size}
                for left in range(0, across, {width}):
                    columns = min({width}, across - left)
                    panel = panels + apart * left
                    target = c + top * c_row + {size} * (side + left)
                    row = 0
                    for i in range(tiles):
                        there = min(high + (i < higher), tall - row)
                        source, place = strip + row * step, target + row * c_row
                        if there == {rows}:
                            tile_{kind}_{rows}x2x{lanes}(source, down, along, there, panel, depth,
                                                         place, c_row, there, columns, alpha, keep)
                        else:
                            tile_{kind}_{fewer}x2x{lanes}(source, down, along, there, panel, depth,
                                                          place, c_row, there, columns, alpha, keep)
                        row += there
    return 0
"""
