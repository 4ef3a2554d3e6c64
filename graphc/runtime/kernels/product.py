"""The matrix product: our own routine, compiled once and called by address.

As in BLIS (Van Zee & van de Geijn 2015), strips of B are packed into panels, one of which stays in the first-level
cache while a register tile of a few rows goes down the rows of A with it; the rows of A come in blocks that stay in the
second-level cache. A is read where it lies, in either order, unless it is transposed with its columns so far apart that
they would drive each other out of the caches: then a block of it is copied. So there is one routine for all layouts.
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

_HEIGHT = 96
"""Rows of A that go by at a time."""

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
        room=DEPTH * width,
        panels=DEPTH * width * _PANELS,
        side=width * _PANELS,
        edge=rows * width,
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
    edge = stack_{kind}_{edge}()
    if n == 1 and c_row == 1:
        a, a_row, a_column, b, b_row, b_column, m, n = b, b_column, b_row, a, a_column, a_row, 1, m
    if k == 0 or m == 1:
        for i in range(m):
            for j in range(n):
                old = load_{kind}_2(c, i * c_row + j)
                store_{kind}_2(c, i * c_row + j, {kind}(0) if beta == {kind}(0) else {kind}(beta * old))
    if m == 1 and b_row == 1 and a_column == 1:
        for j in range(n):
            total = {kind}(0)
            for p in range(k):
                total += {kind}(load_{kind}_0(a, p) * load_{kind}_1(b, j * b_column + p))
            store_{kind}_2(c, j, {kind}(load_{kind}_2(c, j) + alpha * total))
        return 0
    if m == 1:
        quads = k // 4 * 4
        for p in range(0, quads, 4):
            x0 = {kind}(alpha * load_{kind}_0(a, p * a_column))
            x1 = {kind}(alpha * load_{kind}_0(a, (p + 1) * a_column))
            x2 = {kind}(alpha * load_{kind}_0(a, (p + 2) * a_column))
            x3 = {kind}(alpha * load_{kind}_0(a, (p + 3) * a_column))
            for j in range(n):
                at = p * b_row + j * b_column
                first = {kind}(x0 * load_{kind}_1(b, at) + x1 * load_{kind}_1(b, at + b_row))
                second = {kind}(x2 * load_{kind}_1(b, at + 2 * b_row) + x3 * load_{kind}_1(b, at + 3 * b_row))
                store_{kind}_2(c, j, {kind}(load_{kind}_2(c, j) + (first + second)))
        for p in range(quads, k):
            x0 = {kind}(alpha * load_{kind}_0(a, p * a_column))
            for j in range(n):
                store_{kind}_2(c, j, {kind}(load_{kind}_2(c, j) + x0 * load_{kind}_1(b, p * b_row + j * b_column)))
        return 0
    blocks = (k + {depth} - 1) // {depth}
    most = (k + blocks * {lanes} - 1) // max(blocks * {lanes}, 1) * {lanes}
    copied = n >= {worth} and a_column != 1 and (a_row != 1 or a_column * {size} >= {far})
    for side in range(0, n, {side}):
        across = min({side}, n - side)
        for first in range(0, k, max(most, 1)):
            depth = min(most, k - first)
            keep = beta if first == 0 else {kind}(1)
            for top in range(0, m, {height}):
                tall = min({height}, m - top)
                corner, down, along = a + {size} * (top * a_row + first * a_column), a_row, a_column
                next_rows = {rows} * a_row
                if copied:
                    for p in range(depth):
                        for i in range(0, tall // {rows} * {rows}, {rows}):
                            for r in range({rows}):
                                item = load_{kind}_0(corner, (i + r) * a_row + p * a_column)
                                store_{kind}_5(copy, i * {depth} + p * {rows} + r, item)
                        for i in range(tall // {rows} * {rows}, tall):
                            item = load_{kind}_0(corner, i * a_row + p * a_column)
                            store_{kind}_5(copy, i // {rows} * {rows} * {depth} + p * {rows} + i % {rows}, item)
                    corner, down, along, next_rows = copy, 1, {rows}, {rows} * {depth}
                for left in range(0, across, {width}):
                    columns = min({width}, across - left)
                    panel = panels + {size} * {depth} * left
                    start = first * b_row + (side + left) * b_column
                    if top > 0:
                        pass
                    elif columns < {width}:
                        for p in range(depth):
                            for j in range(columns):
                                item = load_{kind}_1(b, start + p * b_row + j * b_column)
                                store_{kind}_3(panel, p * {width} + j, item)
                            for j in range(columns, {width}):
                                store_{kind}_3(panel, p * {width} + j, {kind}(0))
                    elif b_column == 1:
                        for p in range(depth):
                            for j in range({width}):
                                store_{kind}_3(panel, p * {width} + j, load_{kind}_1(b, start + p * b_row + j))
                    else:
                        squares = depth // {lanes} if b_row == 1 else 0
                        for q in range(squares):
                            for v in range(2):
                                transpose_{kind}_{lanes}(
                                    b + {size} * (start + v * {lanes} * b_column + q * {lanes}), {size} * b_column,
                                    panel + {size} * {lanes} * (q * {width} + v), {size} * {width})
                        for p in range(squares * {lanes}, depth):
                            for j in range({width}):
                                item = load_{kind}_1(b, start + p * b_row + j * b_column)
                                store_{kind}_3(panel, p * {width} + j, item)
                    for strip in range((tall + {rows} - 1) // {rows}):
                        there = min({rows}, tall - strip * {rows})
                        target = c + {size} * ((top + strip * {rows}) * c_row + side + left)
                        whole = columns == {width} and there == {rows}
                        place = target if whole else edge
                        step = c_row if whole else {width}
                        factor = keep if whole else {kind}(0)
                        tile_{kind}_{rows}x2x{lanes}(corner + {size} * strip * next_rows, {size} * down,
                                                     {size} * along, there, panel, depth,
                                                     place, {size} * step, alpha, factor)
                        if not whole:
                            for x in range(there):
                                for j in range(columns):
                                    old = load_{kind}_2(target, x * c_row + j)
                                    kept = {kind}(0) if keep == {kind}(0) else {kind}(keep * old)
                                    total = {kind}(kept + load_{kind}_4(edge, x * {width} + j))
                                    store_{kind}_2(target, x * c_row + j, total)
    return 0
"""
