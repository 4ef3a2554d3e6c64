"""The adjoint of convolution by its weight: for each item of the weight, a sum over all places and images.

It is a product of matrices whose inner axis is the places and images. A tile has a few channels of the result and a few
columns, pairs of a channel of the input and a row of the window; its sums are vectors, added up when all is done. The
windows of a piece of a row overlap, so the pieces are short enough to stay in the first-level cache for all items of a
row of the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphc.ir.dims import Size, ceil_divide, maximum, product
from graphc.ir.graph import Node
from graphc.runtime.kernels.base import Kernel, code, view_kernel_for
from graphc.runtime.kernels.conv import NEAR, spatial_words
from graphc.runtime.kernels.registers import lanes, most_sums, registers
from graphc.runtime.views import View, nominal

_LATENCY = 8
"""Multiply-adds that are on their way at a time."""

_TAPS = 8
"""Items of a row of the window whose sums are kept at a time."""


def tile_sizes(rows: int, columns: int) -> tuple[int, int]:
    """The tile for so many channels of the result, and of the input times items of the window, in a group."""

    def cost(tile: tuple[int, int]) -> tuple[int, int]:
        high, wide = tile
        return -(-rows // high) * -(-columns // wide) * max(high * wide, high + wide, _LATENCY), -high * wide

    return min(_tiles(), key=cost)


def _tiles() -> Iterator[tuple[int, int]]:
    """Rows and columns of tiles whose sums registers hold, beside the operands."""
    for high in range(1, most_sums() + 1):
        for wide in range(1, most_sums() // high + 1):
            if high * wide + min(high, wide) < registers().count:
                yield high, wide


@view_kernel_for("conv_weight")
def conv_weight(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """The kernel of ``conv_weight``; its operands are batch-innermost.

    The outer range is the blocks of channels of all groups, for each of them the planes of the window.
    """
    (x, g), (out,) = inputs, outputs
    kind, size = code(out.buffer.dtype), out.buffer.dtype.itemsize
    groups = node.attrs.groups
    rows, columns = g.shape[1] // groups, x.shape[1] // groups
    window = out.shape[2:]
    middle = window[-2] if len(window) > 1 else 1
    high, wide = tile_sizes(nominal(rows), nominal(columns * middle))
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
    words |= spatial_words(node.attrs, x, g, {"x": x, "g": g}, window)
    for axis in range(3):
        at = axis - (3 - len(window))
        words[f"out{axis}"] = out.strides[2 + at] * size if at >= 0 else 0
    near = NEAR // ((high + wide) * size)
    most = maximum(near // maximum(x.shape[0], 1), 1)
    pieces = maximum((words["places2"] + most - 1) // most, 1)
    words |= {
        "piece": (words["places2"] + pieces - 1) // pieces,
        "pieces": pieces,
        "parts": ceil_divide(words["window2"], _TAPS),
        "row_blocks": ceil_divide(rows, high),
        "column_blocks": ceil_divide(columns * middle, wide),
        "taps": _TAPS,
    }
    names = ("x", "g", "out", *words)
    used = ("window0", "window1", "places0", "places1", "pieces", "parts", "row_blocks", "column_blocks")
    source = _SOURCE.format(
        words=", ".join(names),
        lines="\n".join(f"    {name} = integer(args, {names.index(name)})" for name in used),
        kind=kind,
        high=high,
        wide=wide,
        tile=f"{kind}_{high}x{wide}x{lanes(kind)}",
        room=(_TAPS + 1) * high * wide * lanes(kind),
        taps=_TAPS,
    )
    return Kernel(
        "conv_weight",
        source,
        groups * ceil_divide(rows, high) * ceil_divide(columns * middle, wide) * product(window[:-2]),
        tuple(words.values()),
        work=2 * product(g.shape) * columns * product(window),
    )


_SOURCE = """
def kernel(args, lo, hi):
    # words: {words}
{lines}
    sums = stack_{kind}_{room}()
    for t in range(lo, hi):
        item0 = t % window0
        rest = t // window0
        column = rest % column_blocks * {wide}
        channel, item1 = column // window1, column % window1
        rest = rest // column_blocks
        row = rest % row_blocks * {high}
        group = rest // row_blocks
        for part in range(parts):
            item2 = part * {taps}
            clear_{tile}(args, sums, item2)
            for place0 in range(places0):
                for place1 in range(places1):
                    for piece in range(pieces):
                        correlate_{tile}(args, sums, group, row, channel, place0, place1, piece, item0, item1, item2)
            add_up_{tile}(args, sums, group, row, channel, item0, item1, item2)
"""
