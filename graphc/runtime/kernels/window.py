"""Windows added where they were taken from.

An item of the result sums items of several windows, always in the order of their places within the window. The work is
divided over the result: over the axes before the first that windows slide along, and over that one, where each part
asks which windows reach it.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent

from graphc.ir.dims import Size, product
from graphc.ir.graph import Node
from graphc.runtime.kernels.axes import EACH_COLUMN_BLOCK, column_grain, read_words
from graphc.runtime.kernels.base import Kernel, code, view_kernel_for
from graphc.runtime.views import View


def _loops(bounds: Sequence[tuple[str, str]], body: str) -> str:
    """Nested loops, the first outermost, around ``body``."""
    for counter, bound in reversed(bounds):
        body = f"for {counter} in range({bound}):\n{indent(body, '    ')}"
    return body


@view_kernel_for("overlap_add")
def overlap_add(node: Node, inputs: Sequence[View], outputs: Sequence[View]) -> Kernel:
    """Zeros, to which every item of a window adds those of all windows."""
    (x,), (y,) = inputs, outputs
    attrs, rank = node.attrs, len(y.shape)
    dtype = code(y.buffer.dtype)
    first = min(attrs.axes)
    words: dict[str, Size] = {"inner": y.shape[first], "x0": x.offset, "y0": y.offset}
    words |= {f"x_size{axis}": x.shape[axis] for axis in range(len(x.shape))}
    words |= {f"x_stride{axis}": x.strides[axis] for axis in range(len(x.shape))}
    words |= {f"y_size{axis}": y.shape[axis] for axis in range(first + 1, rank)}
    words |= {f"y_stride{axis}": y.strides[axis] for axis in range(rank)}
    for place, axis in enumerate(attrs.axes):
        words |= {f"stride{axis}": attrs.strides[place], f"dilation{axis}": attrs.dilations[place]}

    def at(name: str, view: View, axes: Sequence[int], counters: Sequence[str]) -> str:
        """The sum of counters times strides; a dense axis is not multiplied, so that loops over it are vectors."""
        return " + ".join(
            [
                f"{name}_at",
                *(
                    counter if view.strides[axis] == 1 else f"{counter} * {name}_stride{axis}"
                    for axis, counter in zip(axes, counters, strict=True)
                ),
            ]
        )

    inner = range(first, rank)
    windows = {axis: rank + place for place, axis in enumerate(attrs.axes)}
    outer = "\n".join(
        f"i = rest % x_size{axis}\nrest //= x_size{axis}\nx_at += i * x_stride{axis}\ny_at += i * y_stride{axis}"
        for axis in reversed(range(first))
    )
    clear = _loops(
        [("i0", "first, last"), *((f"i{axis - first}", f"y_size{axis}") for axis in inner[1:])],
        f"store_{dtype}_1(y, {at('y', y, inner, [f'i{axis - first}' for axis in inner])}, {dtype}(0))",
    )
    target = at(
        "y",
        y,
        inner,
        [f"(i{a - first} * stride{a} + k{a} * dilation{a})" if a in windows else f"i{a - first}" for a in inner],
    )
    source = at(
        "x",
        x,
        [*inner, *windows.values()],
        [*(f"i{axis - first}" for axis in inner), *(f"k{axis}" for axis in windows)],
    )
    add = f"to = {target}\nstore_{dtype}_1(y, to, {dtype}(load_{dtype}_1(y, to) + load_{dtype}_0(x, {source})))"
    places = f"""\
start = max((first - k{first} * dilation{first} + stride{first} - 1) // stride{first}, 0)
stop = min((last - 1 - k{first} * dilation{first}) // stride{first} + 1, x_size{first})
{_loops([("i0", "start, stop"), *((f"i{axis - first}", f"x_size{axis}") for axis in inner[1:])], add)}"""
    body = "\n".join(
        [
            "x_at = x0\ny_at = y0\nrest = block",
            outer,
            clear,
            _loops([(f"k{axis}", f"x_size{windows[axis]}") for axis in sorted(windows)], places),
        ]
    )
    text = f"""
def kernel(args, lo, hi):
{read_words("x", "y", *words)}
{EACH_COLUMN_BLOCK}
{indent(body, "        ")}
"""
    return Kernel(
        "overlap_add",
        text,
        product(y.shape[: first + 1]),
        tuple(words.values()),
        work=product(y.shape) + 2 * product(x.shape),
        grain=column_grain(y.buffer.dtype) if first == rank - 1 else 1,
    )
