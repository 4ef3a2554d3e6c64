"""Matrix products: large ones through BLAS from native code, smaller ones by our own routine, integers by loops."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dims import Size, maximum, product
from graphc.ir.types import DType
from graphc.runtime.kernels.base import Kernel, code
from graphc.runtime.kernels.product import panel_width
from graphc.runtime.views import View

__all__ = ["BLAS_WORK", "blas_layout", "gemm_kernel", "integer_matmul_kernel"]


BLAS_WORK = 1 << 27
"""Products of so many multiplications go to BLAS, which blocks for the larger caches too."""


def blas_layout(view: View) -> bool | None:
    """Whether BLAS must read a view's matrices transposed; None where it cannot read them at all."""
    (height, width), (down, across) = view.shape[-2:], view.strides[-2:]
    if (across == 1 or width == 1) and (height == 1 or _is_leading(down)):
        return False
    if (down == 1 or height == 1) and (width == 1 or _is_leading(across)):
        return True
    return None


def _is_leading(stride: Size) -> bool:
    """Whether BLAS takes a stride as a leading dimension: neither a repetition nor backwards."""
    return stride != 0 and maximum(stride, 0) == stride


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
    """``out = a @ b``, or ``beta * c + alpha * (a @ b)``, for operands that :func:`blas_layout` accepts.

    The buffers are a, b, out; or c, a, b, alpha, beta, out. With ``shared``, c and out are one memory. The outer
    range is the columns of the result, so that no part of B is packed twice, or its rows where it has few columns;
    for a batch, the matrices. All layouts share one source: strides, and which range is cut, are arguments.
    """
    kind = code(out.buffer.dtype)
    size = out.buffer.dtype.itemsize
    batch = out.shape[:-2]
    (m, k), n = a.shape[-2:], b.shape[-1]
    by_columns = not batch and (_nominal(n) >= 64 or _nominal(n) >= _nominal(m))
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
        ("trans_a", int(bool(blas_layout(a)))),
        ("trans_b", int(bool(blas_layout(b)))),
    ):
        words.read(name, value)
    if batch:
        part = [*_batch((a, b, out), ("ia", "ib", "ic"), words, batch), "rows = m", "columns = n"]
    else:
        words.read("by_columns", int(by_columns))
        part = [
            f"ia = {words.read('a_start', a.offset)} + (0 if by_columns else lo * a_row)",
            f"ib = {words.read('b_start', b.offset)} + (lo * b_column if by_columns else 0)",
            "ic = lo if by_columns else lo * n",
            "rows = m if by_columns else hi - lo",
            "columns = hi - lo if by_columns else n",
        ]
    if c is not None and not shared:
        part += [
            "for i in range(rows):",
            "    for j in range(columns):",
            f"        store_{kind}_5(p5, ic + i * n + j, load_{kind}_0(p0, ic + i * n + j))",
        ]
    operands = [f"{pointer} + {index} * {size}" for pointer, index in ((pa, "ia"), (pb, "ib"), (pc, "ic"))]
    part += [
        f"if m * n * k < {BLAS_WORK}:",
        f"    call_product_{kind}(routine, {operands[0]}, a_row, a_column, {operands[1]}, b_row, b_column,",
        f"                     {operands[2]}, n, rows, columns, k, {alpha}, {beta})",
        "else:",
        "    a_leading = max(a_column if trans_a else a_row, m if trans_a else k)",
        "    b_leading = max(b_column if trans_b else b_row, k if trans_b else n)",
        f"    call_gemm_{kind}(blas, trans_a != 0, trans_b != 0, rows, columns, k, {alpha}, {operands[0]}, a_leading,",
        f"                  {operands[1]}, b_leading, {beta}, {operands[2]}, n)",
    ]
    after = words.count
    lines = [*words.lines, f"    routine = integer(args, {after})", f"    blas = integer(args, {after + 1})"]
    if batch:
        lines.append("    for t in range(lo, hi):")
    lines += [f"{'        ' if batch else '    '}{line}" for line in part]
    return Kernel(
        "matmul" if c is None else "gemm",
        "def kernel(args, lo, hi):\n" + "\n".join(lines) + "\n",
        product(batch) if batch else n if by_columns else m,
        tuple(words.sizes),
        work=2 * product(out.shape) * k,
        routines=(f"product_{kind}", "sgemm" if kind == "f32" else "dgemm"),
        # Where rows are cut every task packs B again: it should have many of them.
        grain=1 if batch else panel_width(kind) if by_columns else 192,
    )


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
