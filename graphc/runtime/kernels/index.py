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

__all__ = ["additions", "indices_check"]


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


def _choose(load: str, found: str, missing: str = "") -> str:
    """``found`` with the index as ``chosen``, counted from the front; ``missing`` if there is no such."""
    choice = f"""\
given = i64({load})
chosen = given + size if given < 0 else given
if 0 <= chosen and chosen < size:
{indent(found, "    ")}"""
    return f"{choice}\nelse:\n{indent(missing, '    ')}" if missing else choice


def _report(position: str) -> str:
    return f"report_fault(status, 1, given, {position})"


@kernel_for("take")
def take(node: Node) -> Kernel:
    """Copies of slices."""
    x, indices = node.inputs
    outer, size, inner = _around(node)
    dtype, kind = code(x.dtype), code(indices.dtype)
    copy = _each(inner, "inner", f"store_{dtype}_2(out, to + i, load_{dtype}_0(x, start + i))")
    found = f"start = (block * size + chosen) * inner\n{copy}"
    fault = _each(inner, "inner", f"store_{dtype}_2(out, to + i, {dtype}(0))")
    choose = _choose(f"load_{kind}_1(indices, k)", found, f"{_report('k')}\n{fault}")
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
    choose = _choose(f"load_{kind}_1(indices, to + i)", found, f"{_report('to + i')}\n{fault}")
    choose = _each(inner, "inner", choose)
    body = f"for k in range(first, last):\n    to = (block * count + k) * inner\n{indent(choose, '    ')}"
    source = _source("x indices out count size inner status", "count", body)
    count = indices.shape[node.attrs.axis]
    return Kernel("gather", source, outer * count, (count, size, inner), work=4 * indices.size, faults=True)


# --- additions, which may run in the memory of their first operand ---------------------------------------------------


def indices_check(node: Node) -> Kernel:
    """A look at all indices of a node, in a step before those that write: it reports one that does not exist."""
    x, indices = node.inputs[:2]
    size = x.shape[node.attrs.axis]
    choose = _choose(f"load_{code(indices.dtype)}_0(indices, k)", "pass", _report("k"))
    body = f"for k in range(first, last):\n{indent(choose, '    ')}"
    source = _source("indices count size status", "count", body)
    return Kernel("check_indices", source, indices.size, (indices.size, size), work=indices.size, faults=True)


def additions(node: Node, in_place: bool) -> Kernel:
    """The additions of ``index_add`` and ``scatter_add``, to a copy unless the result has its first operand's memory.

    Indices that do not exist are passed over: :func:`indices_check` reports them.
    """
    x, indices, updates = node.inputs
    outer, size, inner = _around(node)
    dtype = code(x.dtype)
    add = f"store_{dtype}_3(out, to + i, {dtype}(load_{dtype}_3(out, to + i) + load_{dtype}_2(updates, start + i)))"
    found = "to = (block * size + chosen) * inner"
    if node.op.name == "index_add":
        count = indices.size
        each = f"{found}\n{_each(inner, 'first, last', add)}"
        choose = _choose(f"load_{code(indices.dtype)}_1(indices, k)", each)
    else:
        count = indices.shape[node.attrs.axis]
        choose = _choose(f"load_{code(indices.dtype)}_1(indices, start + i)", f"{found}\n{add}")
        choose = _each(inner, "first, last", choose)
    body = f"for k in range(count):\n    start = (block * count + k) * inner\n{indent(choose, '    ')}"
    if not in_place:
        copy = _each(inner, "first, last", f"store_{dtype}_3(out, row + i, load_{dtype}_0(x, row + i))")
        body = f"for k in range(size):\n    row = (block * size + k) * inner\n{indent(copy, '    ')}\n{body}"
    source = _source("x indices updates out count size inner", "inner", body)
    grain = 1 if inner == 1 else column_grain(x.dtype)
    work = 2 * updates.size + (0 if in_place else x.size)
    return Kernel(node.op.name, source, outer * inner, (count, size, inner), work=work, grain=grain)
