"""Kernels for chains of elementwise operations with reductions at their ends: one loop nest computes them all.

The loop nest runs over one space of axes. Every operand has a stride for each axis (0 where it is broadcast, or where
it is a reduction over that axis). Neighbouring axes that every operand steps through alike are merged, so most kernels
have one or two loops. Sizes and strides are arguments; which strides are 0 or 1 is part of the source.

Order of the loops, and what may run in parallel; "first" and "innermost" are meant of memory:

- no reduction: the axes as they lie; parallel over the first.
- the innermost axis is reduced: kept axes, then reduced ones, with the sums in registers; parallel over the first.
- the innermost axis is kept: other kept axes, reduced ones, then that axis, with the sums in the output, so that the
  inner loop is a vector operation; parallel over the first kept axis.
- everything is reduced, or the first axis of two is: blocks of that axis, each with partial results of its own. The
  blocks depend on sizes alone, so the bits of the result do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.ir.dims import Size, ceil_divide, exact_quotient, product
from graphc.ir.graph import Graph, Value
from graphc.ir.types import Shape
from graphc.runtime.kernels.base import Kernel, code
from graphc.runtime.kernels.nest import Axis, Source, aligned, combined, expression, identity, merged, result_strides
from graphc.runtime.views import View, contiguous_strides, memory_order

__all__ = ["BLOCK", "block_count", "kept_sizes", "loop_kernel", "loop_space", "result_order"]

BLOCK = 16384
"""Items that a block with partial results has, at least."""

_LEAST_ROWS = 8
"""Steps of the first axis in such a block, where it has many partial results: they take time, too."""

_WAITING = 4
"""How much longer an operation takes in a polynomial, each of which waits for the one before, than a lone one."""

_APART = 8
"""How much longer it takes to read items that do not lie together along the innermost axis."""


def loop_space(body: Graph) -> Shape:
    """The shape that a body is computed over."""
    for node in body.nodes:
        if node.op.reduction is not None:
            return node.inputs[0].shape
    return body.outputs[0].shape


def _reduced_axes(body: Graph) -> tuple[int, ...]:
    for node in body.nodes:
        if node.op.reduction is not None:
            axes: tuple[int, ...] = node.attrs.axes
            return axes
    return ()


def result_order(value: Value, order: Sequence[int]) -> tuple[int, ...]:
    """The axes of a body's output from the outermost to the innermost, where those of its space lie in ``order``."""
    if value.node.op.reduction is None or value.node.attrs.keepdims:
        return tuple(order)
    kept = [axis for axis in range(len(order)) if axis not in value.node.attrs.axes]
    return tuple(kept.index(axis) for axis in order if axis in kept)


def _axes(body: Graph, inputs: Sequence[View], outputs: Sequence[View], partial: bool) -> list[Axis]:
    space, reduced = loop_space(body), _reduced_axes(body)
    dense = iter(contiguous_strides(kept_sizes(body)))
    own = [0 if axis in reduced else next(dense) for axis in range(len(space))]
    strides = [aligned(view, space) for view in inputs] + [
        own if partial and value.node.op.reduction else result_strides(value, view, space)
        for value, view in zip(body.outputs, outputs, strict=True)
    ]
    # What is written item by item decides the order of the loops, else what is read; the larger operands first.
    written = [s for s, value in zip(strides[len(inputs) :], body.outputs, strict=True) if not value.node.op.reduction]
    read = sorted(strides[: len(inputs)], key=lambda s: sum(stride == 0 for stride in s))
    order = memory_order([*written, *read, *strides[len(inputs) :]], space)
    return merged([Axis(space[i], i in reduced, [s[i] for s in strides]) for i in order])


def kept_sizes(body: Graph) -> Shape:
    """The sizes of the axes that a body's reductions keep."""
    reduced = _reduced_axes(body)
    return tuple(size for axis, size in enumerate(loop_space(body)) if axis not in reduced)


def block_count(body: Graph, inputs: Sequence[View], outputs: Sequence[View]) -> Size | None:
    """In how many blocks a reduction is computed, each with partial results; None where one pass does."""
    items = product(loop_space(body))
    if not _reduced_axes(body) or (isinstance(items, int) and items <= 2 * BLOCK):
        return None
    first, *others = _axes(body, inputs, outputs, partial=True)
    length = _block_length(first.size, items)
    if any(size != 1 for size in kept_sizes(body)):
        rows = first.reduced and len(others) == 1 and not others[0].reduced
        if not rows or length < _LEAST_ROWS:
            return None
    return ceil_divide(first.size, length)


def _block_length(first: Size, items: Size) -> int:
    """How many steps of the first axis make a block: as many as have about :data:`BLOCK` items, where that is known."""
    inner = exact_quotient(items, first) if first != 0 else None
    return max(1, BLOCK // inner) if isinstance(inner, int) and inner > 0 else 1


def loop_kernel(
    name: str,
    body: Graph,
    inputs: Sequence[View],
    outputs: Sequence[View],
    shared: Mapping[int, int],
    partial: bool = False,
) -> Kernel:
    """The kernel of a body of elementwise operations and of reductions over one set of axes.

    Args:
        name: shown in plans.
        body: its inputs stand for ``inputs``, its outputs for ``outputs``; broadcasting as NumPy's.
        inputs: where the operands lie.
        outputs: where the results go; for ``partial``, those of reductions have a first axis of blocks, and are dense.
        shared: for the position of an output, that of an input whose memory it overwrites.
        partial: compute partial results for each block of the first axis.
    """
    axes = _axes(body, inputs, outputs, partial)
    source = Source(len(inputs) + len(outputs))
    # A result that overwrites an operand goes through the operand's pointer: LLVM then sees one memory, item by item,
    # and vectorises the loop.
    numbers = [*range(len(inputs)), *(shared.get(i, len(inputs) + i) for i in range(len(outputs)))]
    extents = [source.size(axis.size, "n") for axis in axes]
    operands = [
        source.index(view.offset, [axis.strides[i] for axis in axes]) for i, view in enumerate((*inputs, *outputs))
    ]
    values = {value: f"v{i}" for i, value in enumerate([*body.inputs, *(n.output for n in body.nodes if n.inputs)])}
    reductions = [value for value in body.outputs if value.node.op.reduction is not None]

    kept = [i for i, axis in enumerate(axes) if not axis.reduced]
    summed = [i for i, axis in enumerate(axes) if axis.reduced]
    in_memory = bool(summed) and bool(kept) and kept[-1] > summed[-1]
    order = [*kept[:-1], *summed, kept[-1]] if in_memory else [*kept, *summed]
    parallel = kept[0] if kept and not partial else -1
    if partial:
        for place, value in enumerate(body.outputs, len(inputs)):
            if value.node.op.reduction is not None:
                operands[place] = f"block * {extents[kept[0]]} + i{kept[0]}" if kept else "block"

    def loop(depth: int, axis: int) -> None:
        bounds = "lo, hi" if axis == parallel else extents[axis]
        if partial and axis == order[0]:
            length = source.size(_block_length(axes[axis].size, product(loop_space(body))), "length")
            bounds = f"block * {length}, min((block + 1) * {length}, {extents[axis]})"
        source.add(depth, f"for i{axis} in range({bounds}):")

    def store(depth: int, value: Value, text: str) -> None:
        for place, output in enumerate(body.outputs, len(inputs)):
            if output is value:
                at = f"p{numbers[place]}, {operands[place]}"
                source.add(depth, f"store_{code(value.dtype)}_{numbers[place]}({at}, {text})")

    def compute(depth: int) -> None:
        for i, value in enumerate(body.inputs):
            source.add(depth, f"{values[value]} = load_{code(value.dtype)}_{numbers[i]}(p{i}, {operands[i]})")
        for node in body.nodes:
            if node.op.expression is not None:
                source.add(depth, f"{values[node.output]} = {expression(node, values)}")
        for value in dict.fromkeys(body.outputs):
            if value.node.op.reduction is None:
                store(depth, value, values[value])

    def combine(value: Value, total: str) -> str:
        return combined(value.node.op.reduction or "", value.dtype, total, values[value.node.inputs[0]])

    depth = 0
    if parallel < 0:
        source.add(0, f"for {'block' if partial else '_'} in range(lo, hi):")
        depth = 1
    outer = kept[:-1] if in_memory else kept
    for axis in outer:
        loop(depth, axis)
        depth += 1
    if in_memory:
        loop(depth, kept[-1])
        for value in dict.fromkeys(reductions):
            store(depth + 1, value, identity(value.node.op.reduction or "", value.dtype))
    else:
        for value in dict.fromkeys(reductions):
            source.add(depth, f"t{values[value]} = {identity(value.node.op.reduction or '', value.dtype)}")
    inner = depth
    for axis in order[len(outer) :]:
        loop(inner, axis)
        inner += 1
    compute(inner)
    for value in dict.fromkeys(reductions):
        if in_memory:
            place = len(inputs) + next(i for i, output in enumerate(body.outputs) if output is value)
            total = f"load_{code(value.dtype)}_{numbers[place]}(p{numbers[place]}, {operands[place]})"
            store(inner, value, combine(value, total))
        else:
            source.add(inner, f"t{values[value]} = {combine(value, f't{values[value]}')}")
    if not in_memory:
        for value in dict.fromkeys(reductions):
            store(depth, value, f"t{values[value]}")

    items = product(loop_space(body))
    extent: Size = axes[parallel].size if parallel >= 0 else 1
    if partial:
        extent = outputs[next(i for i, output in enumerate(body.outputs) if output.node.op.reduction)].shape[0]
    weight = sum(_APART if axes and axes[-1].strides[i] not in (0, 1) else 1 for i in range(len(inputs)))
    weight += sum(_WAITING * node.op.cost if node.op.cost > 1 else 1 for node in body.nodes)
    text = "def kernel(args, lo, hi):\n" + "\n".join([*source.header, *source.lines]) + "\n"
    grain = 64 if in_memory and parallel == kept[-1] else 1024 if len(axes) == 1 and kept else 1
    return Kernel(name, text, extent, tuple(source.sizes), work=items * weight, grain=grain)
