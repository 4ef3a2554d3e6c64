"""The adjoint of convolution by its weight: for each item of the weight, a sum over all places and images.

For one window item it is a product of matrices whose inner axis is the places and images: a tile of channels of the
result and channels of the input, whose sums are vectors, added up when all is done. The windows of a piece of a row
overlap, so the pieces are short enough to stay in the first-level cache for all items of a row of the window.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dims import Size, ceil_divide, product
from graphc.ir.graph import Node
from graphc.runtime.kernels.base import Kernel, code, view_kernel_for
from graphc.runtime.kernels.conv import spatial_words
from graphc.runtime.kernels.product import panel_width
from graphc.runtime.views import View, nominal

_TILES = ((4, 3), (3, 4), (5, 2), (2, 5), (6, 2), (2, 6), (10, 1), (1, 10))
"""Rows and columns of tiles whose sums registers hold, beside the operands."""

_TAPS = 8
"""Items of a row of the window whose sums are kept at a time."""

_NEAR = 16384
"""Bytes of both operands that are read for each item of a row of the window in turn."""


def tile_sizes(rows: int, columns: int) -> tuple[int, int]:
    """The tile for so many channels of the result and of the input in a group."""

    def cost(tile: tuple[int, int]) -> float:
        high, wide = tile
        return -(-rows // high) * -(-columns // wide) * max(high * wide, high + wide)

    return min(_TILES, key=cost)


@view_kernel_for("conv_weight")
def conv_weight(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """The kernel of ``conv_weight``; its operands are batch-innermost.

    The outer range is the blocks of channels of all groups, for each of them the rows of the window.
    """
    (x, g), (out,) = inputs, outputs
    kind, size = code(out.buffer.dtype), out.buffer.dtype.itemsize
    groups = node.attrs.groups
    rows, columns = g.shape[1] // groups, x.shape[1] // groups
    high, wide = tile_sizes(nominal(rows), nominal(columns))
    window = out.shape[2:]
    words: dict[str, Size] = {
        "x_start": x.offset * size,
        "g_start": g.offset * size,
        "out_start": out.offset * size,
        "n": x.shape[0],
        "rows": rows,
        "columns": columns,
        "x_channel": x.strides[1] * size,
        "g_channel": g.strides[1] * size,
        "out_row": out.strides[0] * size,
        "out_column": out.strides[1] * size,
        "runs": int(node.attrs.strides[-1] == 1 and all(view.strides[-1] == view.shape[0] for view in (x, g))),
    }
    words |= spatial_words(node, x, g, {"x": x, "g": g}, window)
    for axis in range(3):
        at = axis - (3 - len(window))
        words[f"out{axis}"] = out.strides[2 + at] * size if at >= 0 else 0
    lanes = panel_width(kind) // 2
    names = ("x", "g", "out", *words)
    used = ("n", "rows", "columns", "window0", "window1", "window2", "places0", "places1", "places2")
    source = _SOURCE.format(
        words=", ".join(names),
        lines="\n".join(f"    {name} = integer(args, {names.index(name)})" for name in used),
        kind=kind,
        high=high,
        wide=wide,
        lanes=lanes,
        taps=_TAPS,
        room=_TAPS * high * wide * lanes,
        sums=high * wide * lanes,
        sums_bytes=high * wide * lanes * size,
        piece=_NEAR // ((high + wide) * size),
    )
    return Kernel(
        "conv_weight",
        source,
        groups * ceil_divide(rows, high) * ceil_divide(columns, wide) * product(window[:-1]),
        tuple(words.values()),
        work=2 * product(g.shape) * columns * product(window),
    )


_SOURCE = """
def kernel(args, lo, hi):
    # words: {words}
{lines}
    sums = stack_{kind}_{room}()
    row_blocks = (rows + {high} - 1) // {high}
    column_blocks = (columns + {wide} - 1) // {wide}
    most = max(1, {piece} // max(n, 1))
    for t in range(lo, hi):
        item1 = t % window1
        rest = t // window1
        item0 = rest % window0
        rest = rest // window0
        column = rest % column_blocks * {wide}
        rest = rest // column_blocks
        row = rest % row_blocks * {high}
        group = rest // row_blocks
        for part in range((window2 + {taps} - 1) // {taps}):
            first = part * {taps}
            taps = min({taps}, window2 - first)
            for i in range(taps * {sums}):
                store_{kind}_0(sums, i, {kind}(0))
            for place0 in range(places0):
                for place1 in range(places1):
                    for piece in range((places2 + most - 1) // most):
                        for i in range(taps):
                            correlate_{kind}_{high}x{wide}x{lanes}(
                                args, sums + i * {sums_bytes}, group, row, column, place0, place1, item0, item1,
                                first + i, piece * most, min(piece * most + most, places2))
            for i in range(taps):
                add_up_{kind}_{high}x{wide}x{lanes}(
                    args, sums + i * {sums_bytes}, group, row, column, item0, item1, first + i)
"""
