"""Attention and its gradient, blocks of keys against strips of queries, without the matrix of all scores.

As in FlashAttention (Dao et al. 2022), every query of a strip keeps a running maximum and sum of exponentials; the
gradient computes the scores of a block again and turns them into weights by the logarithms of these sums. A strip has
as many queries as two vectors have lanes: its scores, transposed, are a panel with a row for each key, which one
product writes and the next one reads where it lies; no maximum or sum goes across lanes; and keys and values are read
where they lie. Causality leaves out the blocks behind a strip's last query.

The outer range of the gradient is strips of queries, for the cotangent of q, and strips of keys, for those of k and v.
Either computes its scores anew, so nothing is added up between strips: there are many parts, and which thread does
them makes no difference to any bit. Both kinds are one code: with a strip of x1 and x2 and blocks of y1 and y2, the
scores are x1 @ y1.T, the cotangents of weights x2 @ y2.T, and the results sums over rows of y1, or of y2. Strips of
(q, g) meet (k, v), and strips of (k, v) meet (q, g).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from graphc.ir.dims import Size, ceil_divide, product
from graphc.ir.graph import Node
from graphc.ir.types import Shape
from graphc.runtime.kernels.base import Kernel, code, view_kernel_for
from graphc.runtime.kernels.registers import lanes, panel_width, tile_rows
from graphc.runtime.views import View, nominal

_BLOCK = 96
"""Rows that meet a strip at a time: they and their scores stay in the first-level cache."""

_FEW = 16
"""Batch items that are too few to be divided among threads; the gradient then divides each of them."""

_EXP_WORK = 16  # scalar operations for a weight, beside the products

_OWN_AXES = {"scale": 0, "log_sum": 1, "delta": 1}
"""How many axes operands have behind the leading ones; matrices have two."""


@view_kernel_for("attention")
def attention(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """Strips of queries, those of one batch item after another."""
    operands = dict(zip(("q", "k", "v", "scale", "mask"), inputs, strict=False))
    results = dict(zip(("out", "log_sum"), outputs, strict=True))
    kind = code(outputs[0].buffer.dtype)
    strips = ceil_divide(node.outputs[0].shape[-2], panel_width(kind))
    source, words = _source(_FORWARD, kind, node.attrs.causal, operands, results, {"strips": strips})
    leading, (queries, depth), (keys, width) = _sizes(operands, results)
    work = product(leading) * queries * keys * (2 * depth + 2 * width + _EXP_WORK)
    return Kernel("attention", source, product(leading) * strips, words, work=work)


@view_kernel_for("attention_grad")
def attention_grad(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """Batch items; where they are few, the strips of queries and then of keys of one after another."""
    names = ("q", "k", "v", "scale", "log_sum", "delta", "g", "mask")
    operands = dict(zip(names, inputs, strict=False))
    results = dict(zip(("dq", "dk", "dv"), outputs, strict=True))
    kind = code(outputs[0].buffer.dtype)
    leading, (queries, depth), (keys, width) = _sizes(operands, results)
    items = product(leading)
    of_queries, of_keys = (ceil_divide(size, panel_width(kind)) for size in (queries, keys))
    if nominal(items) < _FEW:
        more = {"query_strips": of_queries, "parts": of_queries + of_keys, "together": 1}
        extent, products = items * (of_queries + of_keys), 6 * depth + 8 * width
    else:
        more = {"query_strips": 0, "parts": of_keys, "together": of_keys}
        extent, products = items, 6 * depth + 4 * width
    source, words = _source(_BACKWARD, kind, node.attrs.causal, operands, results, more)
    work = items * queries * keys * (products + _EXP_WORK)
    return Kernel("attention_grad", source, extent, words, work=work)


def _sizes(operands: Mapping[str, View], results: Mapping[str, View]) -> tuple[Shape, Shape, Shape]:
    """Leading axes, and the last two of queries and of values."""
    first = next(iter(results.values()))
    return first.shape[:-2], operands["q"].shape[-2:], operands["v"].shape[-2:]


def _source(
    template: str,
    kind: str,
    causal: bool,
    operands: Mapping[str, View],
    results: Mapping[str, View],
    more: Mapping[str, Size],
) -> tuple[str, tuple[Size, ...]]:
    """The source of a kernel and the sizes that it reads."""
    views = {**operands, **results}
    leading, (queries, depth), (keys, width) = _sizes(operands, results)
    words: dict[str, Size] = {"queries": queries, "keys": keys, "depth": depth, "width": width, **more}
    # Rows that lie apart, as those of heads do, meet few sets of the first-level cache: a block of them is gathered.
    words["gaps"] = int(any(_has_gaps(views[name]) for name in ("q", "k", "v", "g") if name in views))
    places = _places(views, leading, words)
    assert isinstance(depth, int)
    assert isinstance(width, int)
    names = {
        "kind": kind,
        "size": views["q"].buffer.dtype.itemsize,
        "causal": int(causal),
        "lanes": lanes(kind),
        "width": panel_width(kind),
        "row": panel_width(kind) * views["q"].buffer.dtype.itemsize,
        "rows": tile_rows(),
        "block": _BLOCK,
        "block_room": (_BLOCK + tile_rows()) * panel_width(kind),
        "depth_room": _room(depth),
        "width_room": _room(width),
        "depth_block": _BLOCK * _room(depth) // panel_width("f32"),
        "width_block": _BLOCK * _room(width) // panel_width("f32"),
        "state_room": 4 * panel_width(kind),
        "edge_room": tile_rows() * panel_width(kind),
        "masked": int("mask" in views),
        "mask_kind": "bool" if "mask" in views and views["mask"].buffer.dtype.is_bool else "float",
    }
    read = [(place, name) for place, name in enumerate(words) if not _STEPS.search(name)]
    forbid = _MASKED if "mask" in views else _CAUSAL if causal else ""
    source = template.format(
        **names,
        reads="\n".join(f"    {name} = integer(args, {len(views) + place})" for place, name in read),
        places="\n".join(f"        {line}" for line in places),
        forbid=forbid.format(**names),
    )
    return source, tuple(words.values())


_STEPS = re.compile(r"length\d|_start|_step\d")
"""Words that ``item`` reads itself."""


def _has_gaps(view: View) -> bool:
    """Whether rows do not follow one another."""
    return view.shape[-2] != 1 and view.strides[-2:] != (view.shape[-1], 1)


def _room(size: int) -> int:
    """Items of a panel of so many rows, and of those that the last tile writes in vain; few different numbers."""
    return (-(-max(size, 1) // 32) * 32 + tile_rows()) * panel_width("f32")


def _places(views: Mapping[str, View], leading: Shape, words: dict[str, Size]) -> list[str]:
    """Lines that say where the batch item ``item`` lies in each operand; what they read is added to the words.

    An operand called x then begins at ``x``; its rows lie ``x_row`` bytes apart, and its columns ``x_column``.
    """
    axes = [axis for axis, length in enumerate(leading) if length != 1]
    lengths = len(views) + len(words)
    words |= {f"length{axis}": leading[axis] for axis in axes}
    lines = []
    for place, (name, view) in enumerate(views.items()):
        size, own = view.buffer.dtype.itemsize, len(view.shape) - _OWN_AXES.get(name, 2)
        lines.append(f"{name} = item_{len(axes)}(args, {place}, {lengths}, {len(views) + len(words)}, item)")
        words[f"{name}_start"] = view.offset * size
        for axis in axes:
            at = axis - len(leading) + own
            words[f"{name}_step{axis}"] = view.strides[at] * size if at >= 0 and view.shape[at] != 1 else 0
        for axis, what in zip(range(own, len(view.shape)), ("row", "column"), strict=False):
            words[f"{name}_{what}"] = view.strides[axis] * size if view.shape[axis] != 1 else 0
    return lines


_CAUSAL = """
            allowed = max(first + 1 - start, 0) if by_query else 0
            forbidden = count - allowed if by_query else min(count, first + {width} - 1 - start)
            forbid_{kind}_{lanes}(scores + allowed * {row}, forbidden, start + allowed - first, sign)"""
_MASKED = """
            lane, step = (mask_row, mask_column) if by_query else (mask_column, mask_row)
            forbid_{mask_kind}_{kind}_{lanes}(scores, count, start - first, sign if {causal} else 0,
                                              mask + first * lane + start * step, step, lane, there, some)"""

_FORWARD = """
def kernel(args, lo, hi):
{reads}
    strip = stack_{kind}_{depth_room}()
    scores = stack_{kind}_{block_room}()
    means = stack_{kind}_{width_room}()
    state = stack_{kind}_{state_room}()
    factors = state + 2 * {row}
    some = state + 3 * {row}
    block1 = stack_{kind}_{depth_block}()
    block2 = stack_{kind}_{width_block}()
    by_query, sign, held = True, 1, -1
    for part in range(lo, hi):
        item = part // strips
{places}
        factor = load_{kind}_1(scale, 0)
        first = (strips - 1 - part % strips) * {width}
        there = min({width}, queries - first)
        end = min(first + there, keys) if {causal} else keys
        pack_{kind}_{lanes}(q + first * q_row, q_row, q_column, there, depth, strip)
        for i in range({width}):
            store_{kind}_2(state, i, {kind}(-1e999))
            store_{kind}_2(state, {width} + i, {kind}(0))
            store_{kind}_2(some, i, {kind}(1 - {masked} if end > 0 else 0))
        for number in range((end + {block} - 1) // {block}):
            start = number * {block}
            count = min({block}, end - start)
            y1, y1_row, y1_column = k + start * k_row, k_row, k_column
            y2, y2_row, y2_column = v + start * v_row, v_row, v_column
            if gaps:
                if held != item * keys + number:
                    held, most = item * keys + number, min({block}, keys - start)
                    dense_{kind}_{lanes}(y1, y1_row, y1_column, most, depth, block1)
                    dense_{kind}_{lanes}(y2, y2_row, y2_column, most, width, block2)
                y1, y1_row, y1_column = block1, depth * {size}, {size}
                y2, y2_row, y2_column = block2, width * {size}, {size}
            for r in range((count + {rows} - 1) // {rows}):
                tile_{kind}_{rows}x2x{lanes}(y1 + r * {rows} * y1_row, y1_row, y1_column, count - r * {rows}, strip,
                                             depth, scores + r * {rows} * {row}, {row}, {rows}, {width}, factor,
                                             {kind}(0))
{forbid}
            exponentials_{kind}_{lanes}(scores, count, state)
            if start > 0:
                stretch_{kind}_{lanes}(means, width, factors)
            keep = {kind}(1 if start > 0 else 0)
            for r in range((width + {rows} - 1) // {rows}):
                tile_{kind}_{rows}x2x{lanes}(y2 + r * {rows} * y2_column, y2_column, y2_row, width - r * {rows}, scores,
                                             count, means + r * {rows} * {row}, {row}, {rows}, {width}, {kind}(1), keep)
        finish_{kind}_{lanes}(means, width, state)
        unpack_{kind}_{lanes}(means, width, out + first * out_row, out_row, out_column, there)
        unpack_{kind}_{lanes}(state, 1, log_sum + first * log_sum_row, log_sum_row, 0, there)
"""

_BACKWARD = """
def kernel(args, lo, hi):
{reads}
    strip1 = stack_{kind}_{depth_room}()
    strip2 = stack_{kind}_{width_room}()
    scores = stack_{kind}_{block_room}()
    slopes = stack_{kind}_{block_room}()
    sums1 = stack_{kind}_{depth_room}()
    sums2 = stack_{kind}_{width_room}()
    strip_rows = stack_{kind}_{depth_room}()
    edge = stack_{kind}_{edge_room}()
    state = stack_{kind}_{state_room}()
    some = state + 2 * {row}
    block1 = stack_{kind}_{depth_block}()
    block2 = stack_{kind}_{width_block}()
    columns, held = (depth + {width} - 1) // {width}, -1
    for part in range(lo * together, hi * together):
        item = part // parts
        strip = part % parts
{places}
        factor = load_{kind}_1(scale, 0)
        by_query = strip < query_strips
        if by_query:
            sign, first, length = 1, (query_strips - 1 - strip) * {width}, queries
            begin, end = 0, min(first + {width}, queries, keys) if {causal} else keys
            x1, x1_row, x1_column, x2, x2_row, x2_column = q, q_row, q_column, g, g_row, g_column
            y1, y1_row, y1_column, y2, y2_row, y2_column = k, k_row, k_column, v, v_row, v_column
            result, result_row, result_column = dq, dq_row, dq_column
        else:
            sign, first, length = -1, (strip - query_strips) * {width}, keys
            begin, end = min(first, queries) if {causal} else 0, queries
            x1, x1_row, x1_column, x2, x2_row, x2_column = k, k_row, k_column, v, v_row, v_column
            y1, y1_row, y1_column, y2, y2_row, y2_column = q, q_row, q_column, g, g_row, g_column
            result, result_row, result_column = dk, dk_row, dk_column
        there = min({width}, length - first)
        for side in range(2):
            x, x_row, x_column = (x2, x2_row, x2_column) if side else (x1, x1_row, x1_column)
            size, panel = (width, strip2) if side else (depth, strip1)
            pack_{kind}_{lanes}(x + first * x_row, x_row, x_column, there, size, panel)
            sums = sums2 if side else sums1
            for i in range(size * {width}):
                store_{kind}_2(sums, i, {kind}(0))
        if by_query:
            for side in range(2):
                x, x_row = (delta, delta_row) if side else (log_sum, log_sum_row)
                pack_{kind}_{lanes}(x + first * x_row, x_row, 0, there, 1, state + side * {row})
        elif not query_strips:
            if strip == 0:
                for i in range(queries):
                    for j in range(depth):
                        store_{kind}_3(dq + i * dq_row + j * dq_column, 0, {kind}(0))
            for c in range(columns):
                unpack_{kind}_{lanes}(strip1 + c * {width} * {row}, min({width}, depth - c * {width}),
                                      strip_rows + c * {width} * {row}, {row}, {size}, {width})
        for number in range(begin // {block}, (end + {block} - 1) // {block}):
            start = max(begin, number * {block})
            count = min({block} * (number + 1), end) - start
            z1, z1_row, z1_column = y1 + start * y1_row, y1_row, y1_column
            z2, z2_row, z2_column = y2 + start * y2_row, y2_row, y2_column
            if gaps:
                over = number * {block}
                if held != (2 * item + by_query) * max(queries, keys) + number:
                    held, most = (2 * item + by_query) * max(queries, keys) + number, min({block}, end - over)
                    dense_{kind}_{lanes}(y1 + over * y1_row, y1_row, y1_column, most, depth, block1)
                    dense_{kind}_{lanes}(y2 + over * y2_row, y2_row, y2_column, most, width, block2)
                z1, z1_row, z1_column = block1 + (start - over) * depth * {size}, depth * {size}, {size}
                z2, z2_row, z2_column = block2 + (start - over) * width * {size}, width * {size}, {size}
            strips = (count + {rows} - 1) // {rows}
            for r in range(2 * strips):
                row = (r - strips if r >= strips else r) * {rows}
                z, z_row, z_column = (z2, z2_row, z2_column) if r >= strips else (z1, z1_row, z1_column)
                panel, target, size = (strip2, slopes, width) if r >= strips else (strip1, scores, depth)
                tile_{kind}_{rows}x2x{lanes}(z + row * z_row, z_row, z_column, count - row, panel, size,
                                             target + row * {row}, {row}, {rows}, {width},
                                             {kind}(1) if r >= strips else factor, {kind}(0))
{forbid}
            if by_query:
                slopes_{kind}_{lanes}(scores, slopes, count, state, state + {row}, factor)
            else:
                row_slopes_{kind}_{lanes}(scores, slopes, count, log_sum + start * log_sum_row, log_sum_row,
                                          delta + start * delta_row, delta_row, factor)
            for side in range(1 if by_query else 2):
                z, z_row, z_column = (z2, z2_row, z2_column) if side else (z1, z1_row, z1_column)
                panel, target, size = (scores, sums2, width) if side else (slopes, sums1, depth)
                for r in range((size + {rows} - 1) // {rows}):
                    tile_{kind}_{rows}x2x{lanes}(z + r * {rows} * z_column, z_column, z_row, size - r * {rows}, panel,
                                                 count, target + r * {rows} * {row}, {row}, {rows}, {width}, {kind}(1),
                                                 {kind}(1))
            for r in range(0 if query_strips else strips * columns):
                row, left = r % strips * {rows}, r // strips * {width}
                high, wide = min({rows}, count - row), min({width}, depth - left)
                target = dq + (start + row) * dq_row + left * dq_column
                dense = dq_column == {size}
                tile_{kind}_{rows}x2x{lanes}(slopes + row * {row}, {row}, {size}, high, strip_rows + left * {row},
                                             there, target if dense else edge, dq_row if dense else {row}, high, wide,
                                             {kind}(1), {kind}(1 if dense else 0))
                for i in range(0 if dense else high):
                    for j in range(wide):
                        place = target + i * dq_row + j * dq_column
                        store_{kind}_3(place, 0, load_{kind}_3(place, 0) + load_{kind}_4(edge, i * {width} + j))
        unpack_{kind}_{lanes}(sums1, depth, result + first * result_row, result_row, result_column, there)
        if not by_query:
            unpack_{kind}_{lanes}(sums2, width, dv + first * dv_row, dv_row, dv_column, there)
"""
