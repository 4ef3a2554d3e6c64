"""The matrix product for matrices that fit the caches: our own routine, compiled once and called by address.

As in BLIS (Van Zee & van de Geijn 2015), a strip of B is packed into a panel that stays in the first-level cache, and a
register tile of a few rows goes down the rows of A with it. A is read where it lies, in either order, so there is one
routine for all layouts. Every item of C is summed in the order of the depth, in blocks of :data:`DEPTH`, however the
rows and columns are cut: the bits do not depend on the number of threads.
"""

from __future__ import annotations

import functools

import llvmlite.binding as llvm

from graphc.runtime.loader import KernelRequest

__all__ = ["DEPTH", "panel_width", "product_routine"]

DEPTH = 256
"""Rows of a packed panel: with 16 columns of float32, half of a first-level cache."""


@functools.cache
def _vector_bytes() -> int:
    """The width of this processor's vectors."""
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") and features.get("fma") else 16


def panel_width(kind: str) -> int:
    """Columns of a panel, for ``f32`` or ``f64``: two vectors."""
    return 2 * _vector_bytes() // (4 if kind == "f32" else 8)


@functools.cache
def product_routine(kind: str) -> KernelRequest:
    """``product(a, a_row, a_column, b, b_row, b_column, c, c_row, m, n, k, alpha, beta)``: C = beta C + alpha A B.

    The matrices are addresses and strides in items, C with dense rows; C is not read where beta is 0.
    """
    size, number = (4, "float32") if kind == "f32" else (8, "float64")
    lanes = _vector_bytes() // size
    width = 2 * lanes
    # As many sums as registers hold, beside two vectors of B and one of A.
    rows = 12 if _vector_bytes() == 64 else 6
    source = _ROUTINE.format(
        kind=kind,
        size=size,
        lanes=lanes,
        width=width,
        rows=rows,
        room=DEPTH * width,
        edge=rows * width,
        depth=DEPTH,
    )
    words = ", ".join(["int64"] * 11)
    return KernelRequest(source, "product", f"int64({words}, {number}, {number})")


_ROUTINE = """
def product(a, a_row, a_column, b, b_row, b_column, c, c_row, m, n, k, alpha, beta):
    panel = stack_{kind}_{room}()
    edge = stack_{kind}_{edge}()
    if k == 0:
        for i in range(m):
            for j in range(n):
                old = load_{kind}_2(c, i * c_row + j)
                store_{kind}_2(c, i * c_row + j, {kind}(0) if beta == {kind}(0) else {kind}(beta * old))
    blocks = (k + {depth} - 1) // {depth}
    most = (k + blocks * {lanes} - 1) // max(blocks * {lanes}, 1) * {lanes}
    for block in range(blocks):
        first = block * most
        depth = min(most, k - first)
        keep = beta if block == 0 else {kind}(1)
        for strip in range((n + {width} - 1) // {width}):
            left = strip * {width}
            columns = min({width}, n - left)
            if columns < {width}:
                for p in range(depth):
                    for j in range(columns):
                        item = load_{kind}_1(b, (first + p) * b_row + (left + j) * b_column)
                        store_{kind}_3(panel, p * {width} + j, item)
                    for j in range(columns, {width}):
                        store_{kind}_3(panel, p * {width} + j, {kind}(0))
            elif b_column == 1:
                for p in range(depth):
                    for j in range({width}):
                        store_{kind}_3(panel, p * {width} + j, load_{kind}_1(b, (first + p) * b_row + left + j))
            else:
                squares = depth // {lanes} if b_row == 1 else 0
                for q in range(squares):
                    for v in range(2):
                        block_start = (left + v * {lanes}) * b_column + first + q * {lanes}
                        transpose_{kind}_{lanes}(b + {size} * block_start, {size} * b_column,
                                                 panel + {size} * {lanes} * (q * {width} + v), {size} * {width})
                for p in range(squares * {lanes}, depth):
                    for j in range({width}):
                        item = load_{kind}_1(b, (first + p) * b_row + (left + j) * b_column)
                        store_{kind}_3(panel, p * {width} + j, item)
            for strip_of_rows in range((m + {rows} - 1) // {rows}):
                i = strip_of_rows * {rows}
                there = min({rows}, m - i)
                corner = a + {size} * (i * a_row + first * a_column)
                target = c + {size} * (i * c_row + left)
                whole = columns == {width} and there == {rows}
                place = target if whole else edge
                step = c_row if whole else {width}
                factor = keep if whole else {kind}(0)
                tile_{kind}_{rows}x2x{lanes}(corner, {size} * a_row, {size} * a_column, there, panel, depth,
                                             place, {size} * step, alpha, factor)
                if not whole:
                    for x in range(there):
                        for j in range(columns):
                            old = load_{kind}_2(target, x * c_row + j)
                            kept = {kind}(0) if keep == {kind}(0) else {kind}(keep * old)
                            store_{kind}_2(target, x * c_row + j, {kind}(kept + load_{kind}_4(edge, x * {width} + j)))
    return 0
"""
