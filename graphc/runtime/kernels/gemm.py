"""Matrix products: those of floating-point numbers by our own routine, those of integers by loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.ir.dims import Size, ceil_divide, maximum, product
from graphc.ir.types import DType
from graphc.runtime.kernels.base import PRODUCT_TASKS, Kernel, code
from graphc.runtime.kernels.registers import panel_width
from graphc.runtime.views import View

__all__ = ["gemm_kernel", "integer_matmul_kernel"]


_BLOCK = 256
"""Rows of the result that a task does, of at most so many columns as can be packed at once."""

_TWO_BLOCKS = 128
"""Rows that are cut in any case: each of two threads then adds to those rows of a weight that it reads next."""

_LEAST_ROWS, _MANY_COLUMNS = 32, 64
"""Where rows are cut every task packs all of B: it should have many of them, and B few columns."""

_PACKED = 8
"""A product with fewer rows or columns takes as long as one with so many: it waits for the larger operand."""


class _Words:
    """Sizes that a source reads after its buffers."""

    def __init__(self, buffers: int) -> None:
        self._buffers = buffers
        self.sizes: list[Size] = []
        self.lines = [f"    p{i} = integer(args, {i})" for i in range(buffers)]

    def read(self, name: str, size: Size) -> str:
        self.lines.append(f"    {name} = integer(args, {self._buffers + len(self.sizes)})")
        self.sizes.append(size)
        return name

    @property
    def count(self) -> int:
        """How many words there are so far."""
        return self._buffers + len(self.sizes)


def _batch(views: Sequence[View], names: Sequence[str], words: _Words, shape: Sequence[Size]) -> list[str]:
    """Lines that turn the batch index ``t`` into the offset of each operand's matrix."""
    lines = ["rest = t"]
    lines += [f"{name} = {words.read(f'{name}_start', view.offset)}" for name, view in zip(names, views, strict=True)]
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            continue
        size = words.read(f"size{axis}", shape[axis])
        lines += [f"at = rest % {size}", f"rest //= {size}"]
        for name, view in zip(names, views, strict=True):
            position = axis - len(shape) + len(view.shape) - 2
            if position >= 0 and view.shape[position] != 1 and view.strides[position] != 0:
                lines.append(f"{name} += at * {words.read(f'{name}_step{axis}', view.strides[position])}")
    return lines


def gemm_kernel(a: View, b: View, out: View, c: View | None = None, shared: bool = False) -> Kernel:
    """``out = a @ b``, or ``beta * c + alpha * (a @ b)``, for operands of any strides.

    The buffers are a, b, out; or c, a, b, alpha, beta, out. With ``shared``, c and out are one memory. The outer
    range of a batch is its matrices. That of a single product is the columns of the result, of each block of rows in
    turn, or its rows where it has few columns. All layouts share one source: strides, and which range is cut, are
    arguments.
    """
    kind = code(out.buffer.dtype)
    size = out.buffer.dtype.itemsize
    batch = out.shape[:-2]
    (m, k), n = a.shape[-2:], b.shape[-1]
    panel = panel_width(kind)
    by_columns = not batch and (_nominal(n) >= _MANY_COLUMNS or _nominal(n) >= _nominal(m))
    blocks, width = _cut(m, n, panel) if by_columns else (1, m)
    words = _Words(3 if c is None else 6)
    pa, pb, pc = ("p0", "p1", "p2") if c is None else ("p1", "p2", "p5")
    alpha, beta = f"{kind}(1)", f"{kind}(0)"
    if c is not None:
        alpha, beta = f"load_{kind}_3(p3, 0)", f"load_{kind}_4(p4, 0)"
    for name, value in (
        ("m", m),
        ("n", n),
        ("k", k),
        ("a_row", a.strides[-2]),
        ("a_column", a.strides[-1]),
        ("b_row", b.strides[-2]),
        ("b_column", b.strides[-1]),
    ):
        words.read(name, value)
    if batch:
        part = [*_batch((a, b, out), ("ia", "ib", "ic"), words, batch), "rows, columns = m, n"]
    else:
        words.read("by_columns", int(by_columns))
        words.read("blocks", blocks)
        words.read("width", width)
        words.lines.append("    height = (m + blocks - 1) // blocks")
        part = [
            "first, last = at % width, min(at % width + hi - at, width)",
            "row, column = (at // width * height, first) if by_columns else (first, 0)",
            "rows = max(min(height, m - row), 0) if by_columns else last - first",
            "columns = max(min(last, n) - first, 0) if by_columns else n",
            f"ia = {words.read('a_start', a.offset)} + row * a_row",
            f"ib = {words.read('b_start', b.offset)} + column * b_column",
            "ic = row * n + column",
            "at += last - first",
        ]
    if c is not None and not shared:
        part += [
            "for i in range(rows):",
            "    for j in range(columns):",
            f"        store_{kind}_5(p5, ic + i * n + j, load_{kind}_0(p0, ic + i * n + j))",
        ]
    operands = [f"{pointer} + {index} * {size}" for pointer, index in ((pa, "ia"), (pb, "ib"), (pc, "ic"))]
    part += [
        f"call_product_{kind}(routine, {operands[0]}, a_row, a_column, {operands[1]}, b_row, b_column,",
        f"             {operands[2]}, n, rows, columns, k, {alpha}, {beta})",
    ]
    lines = [*words.lines, f"    routine = integer(args, {words.count})"]
    lines += ["    for t in range(lo, hi):"] if batch else ["    at = lo", "    while at < hi:"]
    lines += [f"        {line}" for line in part]
    return Kernel(
        "matmul" if c is None else "gemm",
        "def kernel(args, lo, hi):\n" + "\n".join(lines) + "\n",
        product(batch) if batch else blocks * width,
        tuple(words.sizes),
        work=2 * product(batch) * maximum(m, _PACKED) * maximum(n, _PACKED) * k,
        routines=(f"product_{kind}",),
        grain=1 if batch else panel if by_columns else _LEAST_ROWS,
    )


def _cut(rows: Size, columns: Size, panel: int) -> tuple[Size, Size]:
    """Into how many blocks rows are cut, and how wide the outer range of one is.

    Where both are known, a task never has the end of a block and the beginning of the next, which would be narrow:
    there are as many blocks as a power of two, and a block has as many columns as its tasks can share evenly.
    """
    panels = ceil_divide(columns, panel)
    if not isinstance(rows, int):
        return maximum((rows + _BLOCK // 2) // _BLOCK, 1), panels * panel
    blocks = 1 << max(round(math.log2(max(rows, 1) / _BLOCK)), int(rows >= _TWO_BLOCKS))
    tasks = max(PRODUCT_TASKS // blocks, 1) if blocks > 1 else 1
    return blocks, ceil_divide(panels, tasks) * tasks * panel


def _nominal(size: Size) -> int:
    """A size, where an open one counts as a batch of middle size."""
    return size if isinstance(size, int) else 64


def integer_matmul_kernel(a: View, b: View, out: View) -> Kernel:
    """``out = a @ b`` for integers, which wrap, and for bool, where it is whether any pair is true."""
    dtype: DType = out.buffer.dtype
    kind = code(dtype)
    words = _Words(3)
    for name, size in (("m", a.shape[-2]), ("n", b.shape[-1]), ("k", a.shape[-1])):
        words.read(name, size)
    for name, view in (("a", a), ("b", b)):
        words.read(f"{name}_row", view.strides[-2])
        words.read(f"{name}_column", view.strides[-1])
    inner = _batch((a, b, out), ("ia", "ib", "ic"), words, out.shape[:-2])
    pair = (f"load_{kind}_0(p0, ia + i * a_row + l * a_column)", f"load_{kind}_1(p1, ib + l * b_row + j * b_column)")
    total = f"load_{kind}_2(p2, ic + i * n + j)"
    term = f"b1({total} | ({pair[0]} & {pair[1]}))" if dtype.is_bool else f"{kind}({total} + {pair[0]} * {pair[1]})"
    lines = [
        *words.lines,
        "    for t in range(lo, hi):",
        *(f"        {line}" for line in inner),
        "        for i in range(m):",
        "            for j in range(n):",
        f"                store_{kind}_2(p2, ic + i * n + j, {kind}(0))",
        "            for l in range(k):",
        "                for j in range(n):",
        f"                    store_{kind}_2(p2, ic + i * n + j, {term})",
    ]
    work = 2 * product(out.shape) * a.shape[-1]
    text = "def kernel(args, lo, hi):\n" + "\n".join(lines) + "\n"
    return Kernel("matmul", text, product(out.shape[:-2]), tuple(words.sizes), work=work)
