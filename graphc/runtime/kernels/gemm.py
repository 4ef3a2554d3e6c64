"""Matrix products: floats through BLAS from native code, other dtypes by loops."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dims import Size, maximum, product
from graphc.ir.types import DType
from graphc.runtime.kernels.base import Kernel, code
from graphc.runtime.views import View

__all__ = ["blas_layout", "gemm_kernel", "integer_matmul_kernel"]


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

    The buffers are a, b, out; or c, a, b, alpha, beta, out. With ``shared``, c and out are one memory. Rows of the
    result, or its columns where there are more of them, are the outer range; for a batch, the matrices are.
    """
    dtype = out.buffer.dtype
    kind = code(dtype)
    batch = out.shape[:-2]
    (m, k), n = a.shape[-2:], b.shape[-1]
    trans_a, trans_b = blas_layout(a), blas_layout(b)
    words = _Words(3 if c is None else 6)
    pa, pb, pc = ("p0", "p1", "p2") if c is None else ("p1", "p2", "p5")
    for name, size in (("m", m), ("n", n), ("k", k)):
        words.read(name, size)
    leading_a = words.read("a_leading", a.strides[-1] if trans_a else a.strides[-2])
    leading_b = words.read("b_leading", b.strides[-1] if trans_b else b.strides[-2])
    least_a, least_b = ("m" if trans_a else "k"), ("k" if trans_b else "n")
    body: list[str] = []
    if c is None:
        alpha, beta = f"{kind}(1)", f"{kind}(0)"
    else:
        alpha, beta = f"load_{kind}_3(p3, 0)", f"load_{kind}_4(p4, 0)"
    by_columns = not batch and _larger(n, m)
    if batch:
        body += ["for t in range(lo, hi):"]
        inner = _batch((a, b, out), ("ia", "ib", "ic"), words, batch)
        rows, columns = "m", "n"
    else:
        inner = [f"ia = {words.read('a_start', a.offset)}", f"ib = {words.read('b_start', b.offset)}", "ic = 0"]
        rows, columns = ("m", "hi - lo") if by_columns else ("hi - lo", "n")
    if not batch and by_columns:
        inner += [f"ib += lo{f' * {leading_b}' if trans_b else ''}", "ic += lo"]
    elif not batch:
        inner += [f"ia += lo{'' if trans_a else f' * {leading_a}'}", "ic += lo * n"]
    if c is not None and not shared:
        inner += [
            f"for i in range({rows}):",
            f"    for j in range({columns}):",
            f"        store_{kind}_5(p5, ic + i * n + j, load_{kind}_0(p0, ic + i * n + j))",
        ]
    size = dtype.itemsize
    inner.append(
        f"call_gemm_{kind}(blas, {bool(trans_a)}, {bool(trans_b)}, {rows}, {columns}, k, {alpha}, "
        f"{pa} + ia * {size}, max({leading_a}, {least_a}, 1), {pb} + ib * {size}, max({leading_b}, {least_b}, 1), "
        f"{beta}, {pc} + ic * {size}, max(n, 1))"
    )
    indent = "        " if batch else "    "
    lines = [*words.lines, f"    blas = integer(args, {words._buffers + len(words.sizes)})"]
    lines += [f"    {line}" for line in body] + [f"{indent}{line}" for line in inner]
    extent: Size = product(batch) if batch else n if by_columns else m
    return Kernel(
        "matmul" if c is None else "gemm",
        "def kernel(args, lo, hi):\n" + "\n".join(lines) + "\n",
        extent,
        tuple(words.sizes),
        work=2 * product(out.shape) * k,
        blas="sgemm" if kind == "f32" else "dgemm",
        grain=1 if batch else 16,
    )


def _larger(left: Size, right: Size) -> bool:
    """Whether one size is known to be larger; an open size counts as a batch of middle size."""
    return (left if isinstance(left, int) else 64) > (right if isinstance(right, int) else 64)


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
