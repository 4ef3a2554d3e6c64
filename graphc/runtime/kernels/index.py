"""Choosing items by indices that are data: take, gather, and their adjoints.

Around the axis that is indexed, an operand is seen as (outer, size, inner). take and gather are divided over the rows
of their results. Their adjoints, in which several updates may meet in one item, are divided over what is not indexed,
the pairs of outer and inner; each part adds its updates in their order, so sums do not depend on the division.
"""

from __future__ import annotations

from textwrap import indent

from graphc.ir.dims import Size
from graphc.ir.graph import Node
from graphc.runtime.kernels.axes import around, column_grain
from graphc.runtime.kernels.base import Kernel, code, kernel_for


def _around(node: Node) -> tuple[Size, Size, Size]:
    """Items outside, on, and inside the axis that is indexed."""
    return around(node.inputs[0].shape, node.attrs.axis)


def _source(words: str, length: str, body: str) -> str:
    """A kernel over blocks of ``length`` units: ``body`` does the units ``first`` to ``last`` of ``block``."""
    read = "\n".join(f"{word} = integer(args, {place})" for place, word in enumerate(words.split()))
    return f"""
def kernel(args, lo, hi):
{indent(read, "    ")}
    for block in range(lo // max({length}, 1), (hi + {length} - 1) // max({length}, 1)):
        first = max(lo - block * {length}, 0)
        last = min(hi - block * {length}, {length})
{indent(body, "        ")}
"""


def _each(inner: Size, bounds: str, body: str) -> str:
    """``body`` for every inner item ``i``: for the only one where the indexed axis is the last."""
    return f"i = 0\n{body}" if inner == 1 else f"for i in range({bounds}):\n{indent(body, '    ')}"


def _choose(load: str, position: str, found: str, fault: str = "") -> str:
    """``found`` with the index as ``chosen``, counted from the front; a report, and ``fault``, if there is no such."""
    return f"""\
given = i64({load})
chosen = given + size if given < 0 else given
if 0 <= chosen and chosen < size:
{indent(found, "    ")}
else:
    report_fault(status, 1, given, {position})
{indent(fault, "    ")}""".rstrip()


@kernel_for("take")
def take(node: Node) -> Kernel:
    """Copies of slices."""
    x, indices = node.inputs
    outer, size, inner = _around(node)
    dtype, kind = code(x.dtype), code(indices.dtype)
    copy = _each(inner, "inner", f"store_{dtype}_2(out, to + i, load_{dtype}_0(x, start + i))")
    found = f"start = (block * size + chosen) * inner\n{copy}"
    fault = _each(inner, "inner", f"store_{dtype}_2(out, to + i, {dtype}(0))")
    choose = _choose(f"load_{kind}_1(indices, k)", "k", found, fault)
    body = f"for k in range(first, last):\n    to = (block * count + k) * inner\n{indent(choose, '    ')}"
    source = _source("x indices out count size inner status", "count", body)
    count = indices.size
    work = node.output.size + outer * count
    return Kernel("take", source, outer * count, (count, size, inner), work=work, faults=True)


@kernel_for("gather")
def gather(node: Node) -> Kernel:
    """Copies of items, one for each index."""
    x, indices = node.inputs
    outer, size, inner = _around(node)
    dtype, kind = code(x.dtype), code(indices.dtype)
    found = f"store_{dtype}_2(out, to + i, load_{dtype}_0(x, (block * size + chosen) * inner + i))"
    fault = f"store_{dtype}_2(out, to + i, {dtype}(0))"
    choose = _each(inner, "inner", _choose(f"load_{kind}_1(indices, to + i)", "to + i", found, fault))
    body = f"for k in range(first, last):\n    to = (block * count + k) * inner\n{indent(choose, '    ')}"
    source = _source("x indices out count size inner status", "count", body)
    count = indices.shape[node.attrs.axis]
    return Kernel("gather", source, outer * count, (count, size, inner), work=4 * indices.size, faults=True)


def _adjoint(node: Node, count: Size, add: str) -> Kernel:
    """A copy, then ``add`` for each place ``k`` on the indexed axis, which adds inner items ``first`` to ``last``."""
    x, _, updates = node.inputs
    outer, size, inner = _around(node)
    dtype = code(x.dtype)
    copy = _each(inner, "first, last", f"store_{dtype}_3(out, row + i, load_{dtype}_0(x, row + i))")
    body = f"""\
for k in range(size):
    row = (block * size + k) * inner
{indent(copy, "    ")}
for k in range(count):
{indent(add, "    ")}"""
    source = _source("x indices updates out count size inner status", "inner", body)
    grain = 1 if inner == 1 else column_grain(x.dtype)
    work = x.size + 2 * updates.size
    return Kernel(node.op.name, source, outer * inner, (count, size, inner), work=work, faults=True, grain=grain)


def _sum(node: Node) -> str:
    """Inner item ``i`` of the update from ``start`` on added to that of the result from ``to`` on."""
    dtype = code(node.output.dtype)
    return f"store_{dtype}_3(out, to + i, {dtype}(load_{dtype}_3(out, to + i) + load_{dtype}_2(updates, start + i)))"


@kernel_for("index_add")
def index_add(node: Node) -> Kernel:
    """Slices added to a copy."""
    inner = _around(node)[2]
    indices = node.inputs[1]
    found = f"""\
to = (block * size + chosen) * inner
start = (block * count + k) * inner
{_each(inner, "first, last", _sum(node))}"""
    return _adjoint(node, indices.size, _choose(f"load_{code(indices.dtype)}_1(indices, k)", "k", found))


@kernel_for("scatter_add")
def scatter_add(node: Node) -> Kernel:
    """Items added to a copy, one for each index."""
    inner = _around(node)[2]
    indices = node.inputs[1]
    found = f"to = (block * size + chosen) * inner\n{_sum(node)}"
    choose = _choose(f"load_{code(indices.dtype)}_1(indices, start + i)", "start + i", found)
    add = f"start = (block * count + k) * inner\n{_each(inner, 'first, last', choose)}"
    return _adjoint(node, indices.shape[node.attrs.axis], add)
