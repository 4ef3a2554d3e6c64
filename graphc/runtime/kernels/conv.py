"""Convolution and its adjoint by the input: direct, over images that lie batch-innermost, in the order (C, *S, N).

A vector then holds one place of several images, so every stride, padding and width is served alike. Where windows move
by one item, the places of a row whose windows lie inside the image are one run of items, places and images together:
a batch of one is served as well.

The window items that a place reads are an arithmetic progression along each axis, in the weight and in the input: a
first one, how many, how far apart. That holds for the adjoint too, whose places read the windows that cover them. The
tile (`graphc.runtime.instructions.conv_tiles`) sums over channels and window items in an order that sizes alone
decide, so the bits of the result do not depend on how the places are divided among threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from graphc.ir.dims import Size, ceil_divide, maximum, minimum, product
from graphc.ir.graph import Node
from graphc.ir.ops.conv import ConvAttrs
from graphc.ir.types import Shape
from graphc.runtime.kernels.base import MAX_TASKS, Kernel, code, view_kernel_for
from graphc.runtime.kernels.registers import lanes, most_sums
from graphc.runtime.views import Buffer, View, contiguous_strides, nominal

__all__ = [
    "IMAGES",
    "NEAR",
    "batch_innermost",
    "conv_kernel",
    "flat_views",
    "is_batch_innermost",
    "is_flat",
    "padded_view",
    "spatial_words",
]

_PIECES = 16
"""Parts of the work, at least: where there are fewer rows of places and blocks of channels, rows are divided."""

NEAR = 16384
"""Bytes of operands that are read more than once in a row: half of a first-level cache."""

_FEW = 4
"""Images that fill so little of a vector that the places beside them should fill the rest."""

IMAGES = {"conv": frozenset((0,)), "conv_transpose": frozenset((0,)), "conv_weight": frozenset((0, 1))}
"""Which operands of an operation are images, to lie batch-innermost."""


class Flat(NamedTuple):
    """A convolution in another form: its geometry, its operand and its result; and the result in its own form."""

    attrs: ConvAttrs
    x: View
    y: View
    result: View


def batch_innermost(ndim: int) -> tuple[int, ...]:
    """The axes of images, (N, C, *S), from the outermost to the innermost."""
    return (*range(1, ndim), 0)


def is_batch_innermost(view: View) -> bool:
    """Whether images, (N, C, *S), lie so that kernels of convolutions can read them."""
    n = view.shape[0]
    return (n == 1 or view.strides[0] == 1) and (view.shape[-1] == 1 or view.strides[-1] == n)


def spatial_words(
    attrs: ConvAttrs, image: View, places: View, strides: Mapping[str, View], window: Sequence[Size]
) -> dict[str, Size]:
    """What a kernel must know of each spatial axis, by name; there are always three, the first ones of size 1.

    ``image`` and ``places`` are the input and the result of the convolution, or their cotangents, as (N, C, *S);
    ``strides`` are views whose strides, in bytes, are asked for.
    """
    rank = len(attrs.strides)
    words: dict[str, Size] = {}
    for axis in range(3):
        at = axis - (3 - rank)
        if at < 0:
            words |= {f"image{axis}": 1, f"places{axis}": 1, f"window{axis}": 1}
            words |= {f"stride{axis}": 1, f"low{axis}": 0, f"dilation{axis}": 1}
            words |= {f"{name}{axis}": 0 for name in strides}
            continue
        words |= {f"image{axis}": image.shape[2 + at], f"places{axis}": places.shape[2 + at]}
        words |= {f"window{axis}": window[at], f"stride{axis}": attrs.strides[at]}
        words |= {f"low{axis}": attrs.padding[at][0], f"dilation{axis}": attrs.dilations[at]}
        words |= {f"{name}{axis}": view.strides[2 + at] * view.buffer.dtype.itemsize for name, view in strides.items()}
    return words


def is_flat(node: Node) -> bool:
    """Whether a convolution has so few images that all its places should be one run of items, as far as rows go."""
    batch, *sizes = (node.inputs[0].shape[axis] for axis in (0, *range(2, node.output.ndim)))
    few = isinstance(batch, int) and 0 < batch <= _FEW
    return node.op.name == "conv" and few and set(node.attrs.strides) == {1} and all(isinstance(s, int) for s in sizes)


def padded_view(shape: Shape, padding: Sequence[tuple[int, int]], make: Callable[[Size], Buffer]) -> View:
    """Room for images, batch-innermost and with so much around them; its buffer, from ``make``, has nothing else.

    What follows one row and what precedes the next are the same items, for both are zeros.
    """
    n, channels, *sizes = shape
    *strides, _ = contiguous_strides((*(s + max(pair) for s, pair in zip(sizes, padding, strict=True)), n))
    padded = [size + sum(pair) for size, pair in zip(sizes, padding, strict=True)]
    items = sum((size - 1) * stride for size, stride in zip(padded, strides, strict=True)) + n
    return View(make(channels * items), (n, channels, *padded), (1, items, *strides))


def flat_views(
    attrs: ConvAttrs, x: View, window: Sequence[Size], make: Callable[[Size], Buffer], channels: Size
) -> Flat:
    """A convolution of padded images as one along the last axis alone, from one row of places to the next.

    What lies between the rows is computed too: windows that begin in one row and end in the next. The result has room
    for it, from ``make``. The other axes have a single place. ``x`` is of `padded_view`.
    """
    n, spans = x.shape[0], [(k - 1) * d for k, d in zip(window, attrs.dilations, strict=True)]
    places = [size - span for size, span in zip(x.shape[2:], spans, strict=True)]
    length = (sum((count - 1) * step for count, step in zip(places, x.strides[2:], strict=True)) + n) // n
    one = (1,) * (len(places) - 1)
    y = View(make(channels * length * n), (n, channels, *places), (1, length * n, *x.strides[2:]))
    return Flat(
        ConvAttrs(attrs.strides, ((0, 0),) * len(places), attrs.dilations, attrs.groups),
        replace(x, shape=(*x.shape[:2], *(span + 1 for span in spans[:-1]), length + spans[-1])),
        replace(y, shape=(n, channels, *one, length)),
        y,
    )


@view_kernel_for("conv", "conv_transpose")
def conv(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """The kernel of ``conv``, or of ``conv_transpose``; the first operand and the result are batch-innermost."""
    (x, weight, *bias), (y,) = inputs, outputs
    return conv_kernel(node.op.name, node.attrs, x, weight, y, *bias)


def conv_kernel(name: str, attrs: ConvAttrs, x: View, weight: View, y: View, bias: View | None = None) -> Kernel:
    """The kernel of a convolution of ``x``; or of the adjoint, whose ``x`` is the cotangent of a convolution's result.

    The buffers are those of x, the weight, the bias if there is one, and y.

    The outer range is the rows of places of all groups; where these are few, for each the shares of the channels, and
    then pieces of the row.
    """
    adjoint = name == "conv_transpose"
    kind, size = code(y.buffer.dtype), y.buffer.dtype.itemsize
    groups = attrs.groups
    rows, channels = y.shape[1] // groups, x.shape[1] // groups
    w_row, w_channel = (weight.strides[1], weight.strides[0]) if adjoint else weight.strides[:2]
    high, wide = tile_sizes(nominal(rows))
    near = _near(attrs, x, weight.shape[2:], wide * lanes(kind))
    words: dict[str, Size] = {
        "x_start": x.offset * size,
        "w_start": weight.offset * size,
        "y_start": y.offset * size,
        "n": x.shape[0],
        "rows": rows,
        "channels": channels,
        "near": near,
        "parts": maximum(ceil_divide(channels, near), 1),
        "x_channel": x.strides[1] * size,
        "y_channel": y.strides[1] * size,
        "w_row": w_row * size,
        "w_channel": w_channel * size,
        "w_group": weight.shape[0] // groups * weight.strides[0] * size,
    }
    if bias is not None:
        words |= {"bias_start": bias.offset * size, "bias_row": bias.strides[0] * size}
    image, places = (y, x) if adjoint else (x, y)
    words |= spatial_words(attrs, image, places, {"x": x, "y": y, "w": weight}, weight.shape[2:])
    words |= _run(adjoint, attrs, x, y, weight.shape[-1])
    lines = groups * product(y.shape[2:-1])
    blocks = ceil_divide(rows, high)
    together = max(nominal(ceil_divide(blocks, -(-MAX_TASKS // max(nominal(lines), 1)))), 1)
    shares = ceil_divide(blocks, together)
    pieces = -(-_PIECES // max(nominal(lines) * nominal(shares), 1))
    words |= {"blocks": blocks, "together": together, "shares": shares}
    words |= {"pieces": pieces, "piece": ceil_divide(y.shape[-1], pieces)}
    if adjoint:
        words |= _adjoint_words(attrs)
    names = ("x", "w", *(() if bias is None else ("bias",)), "y", *words)
    used = {word: word for word in ("pieces", "shares", "parts", "near")}
    used |= {f"out{axis}": f"{'image' if adjoint else 'places'}{axis}" for axis in range(2)}
    source = _SOURCE.format(
        words=", ".join(names),
        lines="\n".join(f"    {name} = integer(args, {names.index(word)})" for name, word in used.items()),
        tile=f"{name}_{kind}_{high}x{wide}x{lanes(kind)}",
    )
    return Kernel(
        name,
        source,
        lines * shares * pieces,
        tuple(words.values()),
        work=2 * product(places.shape) * (image.shape[1] // groups) * product(weight.shape[2:]),
    )


def _near(attrs: ConvAttrs, x: View, window: Sequence[Size], width: int) -> int:
    """How many channels of ``x`` a tile, so many items wide, sums over before the next block of channels does."""
    images, channels = x.shape[0], max(nominal(x.shape[1]) // attrs.groups, 1)
    *outer, last = map(nominal, window)
    apart = min(width, images * attrs.dilations[-1]) if isinstance(images, int) else width
    bytes = math.prod(outer) * (width + (last - 1) * apart) * x.buffer.dtype.itemsize  # of a channel, read by a tile
    return -(-channels // -(-channels * bytes // NEAR))


def _run(adjoint: bool, attrs: ConvAttrs, x: View, y: View, window: Size) -> dict[str, Size]:
    """The places of a row that are one run of items: those whose windows lie inside the image, or that all cover."""
    size = x.shape[-1]
    if attrs.strides[-1] != 1 or any(view.strides[-1] != view.shape[0] for view in (x, y)):
        return {"run_first": 0, "run_last": 0}
    (low, _), span = attrs.padding[-1], (window - 1) * attrs.dilations[-1]
    first, last = (span - low, size - low) if adjoint else (low, size - span + low)
    return {"run_first": maximum(first, 0), "run_last": minimum(last, y.shape[-1])}


def _adjoint_words(attrs: ConvAttrs) -> dict[str, Size]:
    """How to find the windows that cover a place."""
    words: dict[str, Size] = {}
    for axis in range(3):
        at = axis - (3 - len(attrs.strides))
        stride, dilation = (attrs.strides[at], attrs.dilations[at]) if at >= 0 else (1, 1)
        common = math.gcd(stride, dilation)
        words |= {f"common{axis}": common, f"skip{axis}": stride // common, f"back{axis}": dilation // common}
        words |= {f"inverse{axis}": pow(dilation // common, -1, stride // common)}
    return words


def tile_sizes(rows: int) -> tuple[int, int]:
    """How many rows and vectors the tile for so many channels has: a tile does what its last rows lack in vain."""

    def cost(high: int) -> tuple[float, int]:
        wide = _tile_width(high)
        operations, loads = high * wide / 2, (high + wide) / 2
        return -(-rows // high) * max(operations, loads) / wide, -high

    high = min(range(1, 7), key=cost)
    return high, _tile_width(high)


def _tile_width(high: int) -> int:
    """How many vectors wide a tile of so many rows is: as many sums as registers hold, beside a row of operands."""
    return min(most_sums() // high, 2 * most_sums() // 3)


_SOURCE = """
def kernel(args, lo, hi):
    # words: {words}
{lines}
    for t in range(lo, hi):
        piece = t % pieces
        rest = t // pieces
        share = rest % shares
        rest = rest // shares
        place1 = rest % out1
        rest = rest // out1
        for part in range(parts):
            {tile}(args, rest // out0, share, rest % out0, place1, piece, part * near)
"""
