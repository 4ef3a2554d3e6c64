"""Choosing items by indices that are data: take, gather, and their adjoints.

Around the axis that is indexed, an operand is seen as (outer, size, inner). take and gather are divided over the rows
of their results. Their adjoints, in which several updates may meet in one item, are divided over what is not indexed,
the pairs of outer and inner; each part adds its updates in their order, so sums do not depend on the division.
"""

from __future__ import annotations

from graphc.ir.dims import Size, product
from graphc.ir.graph import Node
from graphc.runtime.kernels.base import Kernel, code, kernel_for

_CACHE_LINE = 64


def _around(node: Node) -> tuple[Size, Size, Size]:
    """Items outside, on, and inside the axis that is indexed."""
    shape, axis = node.inputs[0].shape, node.attrs.axis
    return product(shape[:axis]), shape[axis], product(shape[axis + 1 :])


def _words(*names: str) -> str:
    return "\n".join(f"    {name} = integer(args, {word})" for word, name in enumerate(names))


def _over_inner(inner: Size, indent: int, *lines: str) -> str:
    """The lines for each inner item ``i``; without a loop where the indexed axis is the last."""
    head = ["i = 0"] if inner == 1 else ["for i in range(inner):"]
    step = 0 if inner == 1 else 4
    return "\n".join(" " * (indent + (step if number else 0)) + line for number, line in enumerate([*head, *lines]))


@kernel_for("take")
def take(node: Node) -> Kernel:
    """Copies of slices."""
    x, indices = node.inputs
    outer, size, inner = _around(node)
    dtype, kind = code(x.dtype), code(indices.dtype)
    found = f"store_{dtype}_2(out, to + i, load_{dtype}_0(x, start + i))"
    fault = f"store_{dtype}_2(out, to + i, {dtype}(0))"
    source = f"""
def kernel(args, lo, hi):
{_words("x", "indices", "out", "count", "size", "inner", "status")}
    block = lo // max(count, 1)
    k = lo - block * count
    for row in range(lo, hi):
        given = i64(load_{kind}_1(indices, k))
        chosen = given + size if given < 0 else given
        to = row * inner
        if 0 <= chosen and chosen < size:
            start = (block * size + chosen) * inner
{_over_inner(inner, 12, found)}
        else:
            report_fault(status, 1, given, k)
{_over_inner(inner, 12, fault)}
        k += 1
        if k == count:
            k = 0
            block += 1
"""
    work = node.output.size + outer * indices.size
    return Kernel("take", source, outer * indices.size, (indices.size, size, inner), work=work, faults=True)


@kernel_for("gather")
def gather(node: Node) -> Kernel:
    """Copies of items, one for each index."""
    x, indices = node.inputs
    outer, size, inner = _around(node)
    dtype, kind = code(x.dtype), code(indices.dtype)
    count = indices.shape[node.attrs.axis]
    body = f"""\
given = i64(load_{kind}_1(indices, to + i))
chosen = given + size if given < 0 else given
if 0 <= chosen and chosen < size:
    store_{dtype}_2(out, to + i, load_{dtype}_0(x, (block * size + chosen) * inner + i))
else:
    report_fault(status, 1, given, to + i)
    store_{dtype}_2(out, to + i, {dtype}(0))""".splitlines()
    source = f"""
def kernel(args, lo, hi):
{_words("x", "indices", "out", "count", "size", "inner", "status")}
    block = lo // max(count, 1)
    k = lo - block * count
    for row in range(lo, hi):
        to = row * inner
{_over_inner(inner, 8, *body)}
        k += 1
        if k == count:
            k = 0
            block += 1
"""
    return Kernel("gather", source, outer * count, (count, size, inner), work=4 * indices.size, faults=True)


def _adjoint(node: Node, count: Size, add: str) -> Kernel:
    """A copy, then ``add`` for each place ``k`` on the indexed axis, which adds inner items ``first`` to ``last``."""
    x, _, updates = node.inputs
    outer, size, inner = _around(node)
    dtype = code(x.dtype)
    name = node.op.name
    source = f"""
def kernel(args, lo, hi):
{_words("x", "indices", "updates", "out", "count", "size", "inner", "status")}
    for block in range(lo // max(inner, 1), (hi + inner - 1) // max(inner, 1)):
        first = max(lo - block * inner, 0)
        last = min(hi - block * inner, inner)
        for row in range(block * size, (block + 1) * size):
            for i in range(first, last):
                store_{dtype}_3(out, row * inner + i, load_{dtype}_0(x, row * inner + i))
        for k in range(count):
{add}
"""
    grain = 1 if inner == 1 else _CACHE_LINE // x.dtype.itemsize
    work = x.size + 2 * updates.size
    return Kernel(name, source, outer * inner, (count, size, inner), work=work, faults=True, grain=grain)


@kernel_for("index_add")
def index_add(node: Node) -> Kernel:
    """Slices added to a copy."""
    x, indices, _ = node.inputs
    dtype, kind = code(x.dtype), code(indices.dtype)
    add = f"""\
            given = i64(load_{kind}_1(indices, k))
            chosen = given + size if given < 0 else given
            if 0 <= chosen and chosen < size:
                to = (block * size + chosen) * inner
                start = (block * count + k) * inner
                for i in range(first, last):
                    total = load_{dtype}_3(out, to + i) + load_{dtype}_2(updates, start + i)
                    store_{dtype}_3(out, to + i, {dtype}(total))
            else:
                report_fault(status, 1, given, k)"""
    return _adjoint(node, indices.size, add)


@kernel_for("scatter_add")
def scatter_add(node: Node) -> Kernel:
    """Items added to a copy, one for each index."""
    x, indices, _ = node.inputs
    dtype, kind = code(x.dtype), code(indices.dtype)
    add = f"""\
            start = (block * count + k) * inner
            for i in range(first, last):
                given = i64(load_{kind}_1(indices, start + i))
                chosen = given + size if given < 0 else given
                if 0 <= chosen and chosen < size:
                    to = (block * size + chosen) * inner + i
                    total = load_{dtype}_3(out, to) + load_{dtype}_2(updates, start + i)
                    store_{dtype}_3(out, to, {dtype}(total))
                else:
                    report_fault(status, 1, given, start + i)"""
    return _adjoint(node, indices.shape[node.attrs.axis], add)
