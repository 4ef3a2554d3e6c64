"""What a step costs: floating-point operations, and bytes that go between its kernel and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from graphc.ir.dims import Size, bind, product
from graphc.ir.graph import Node
from graphc.record import record
from graphc.runtime.program import BoundStep
from graphc.runtime.views import Buffer

__all__ = ["Cost", "member_shares", "members", "step_cost"]

_SELECTIONS = frozenset({"take", "gather"})
"""Operations that read as many items of their first operand as they have results."""

_ADDITIONS = frozenset({"index_add", "scatter_add"})
"""Operations that add their last operand to a part of the first, which may be overwritten."""

_PAIRS: dict[str, Callable[[Node], Size]] = {
    "matmul": lambda node: node.output.size * node.inputs[0].shape[-1],
    "gemm": lambda node: node.output.size * node.inputs[1].shape[-1],
    "conv": lambda node: node.output.size * product(node.inputs[1].shape[1:]),
    "conv_transpose": lambda node: node.inputs[0].size * product(node.inputs[1].shape[1:]),
    "conv_weight": lambda node: node.inputs[1].size * product(node.output.shape[1:]),
}
"""How many pairs of numbers matrix products and convolutions multiply and add up."""

_MOVEMENTS = frozenset({"copy", "check_indices", "iota", *_SELECTIONS})
"""Steps that do no arithmetic on floats."""


@record
class Cost:
    """What one run of a step costs.

    Attributes:
        flops: additions, multiplications and the like on floats: ``2 m n k`` for a product, and so for convolutions by
            their windows; ``OpDef.cost`` an item for elementwise operations and those by rows, one an item for
            reductions; for others the estimate of their kernel.
        bytes_read: of its operands, each counted once.
        bytes_written: of its results.
    """

    flops: int
    bytes_read: int
    bytes_written: int

    @property
    def bytes(self) -> int:
        """Read and written."""
        return self.bytes_read + self.bytes_written


def step_cost(bound: BoundStep, sizes: Mapping[str, int]) -> Cost:
    """What a step costs for given sizes; without the programs that it calls."""
    if bound.programs:
        return Cost(0, 0, 0)
    step = bound.step
    roots = bound.buffers
    reads = dict(zip(roots, (_bytes(buffer, sizes) for buffer in step.reads), strict=False))
    writes = dict(zip(roots[len(step.reads) :], (_bytes(buffer, sizes) for buffer in step.writes), strict=False))
    if step.name == "copy":  # of a piece, or to one: what the two have in common
        common = min(*reads.values(), *writes.values())
        return Cost(0, common, common)
    if step.name in _SELECTIONS:
        data = roots[0]
        reads[data] = min(reads[data], sum(writes.values()))
    if step.name in _ADDITIONS and roots[0] is roots[len(step.reads)]:
        reads[roots[0]] = writes[roots[0]] = min(reads[roots[0]], reads[roots[2]])
    return Cost(_flops(bound, sizes), sum(reads.values()), sum(writes.values()))


def members(bound: BoundStep) -> tuple[Node, ...]:
    """The nodes that a step computes: those of its fused group, or its own."""
    node = bound.step.node
    if node.op.name == "fused" and bound.step.name == "fused":
        return tuple(member for member in node.attrs.body.nodes if member.inputs)
    return (node,)


def member_shares(bound: BoundStep, sizes: Mapping[str, int]) -> Iterator[tuple[Node, float]]:
    """The nodes that a step computes, each with its part of the step's time: of a fused group, by their costs."""
    nodes = members(bound)
    weights = [max(1, _loop_flops(node, sizes)) if len(nodes) > 1 else 1 for node in nodes]
    total = sum(weights)
    for node, weight in zip(nodes, weights, strict=True):
        yield node, weight / total


def _loop_flops(node: Node, sizes: Mapping[str, int]) -> int:
    """The floating-point operations of an elementwise operation, a reduction or an operation by rows."""
    if not any(value.dtype.is_float for value in (*node.inputs, *node.outputs)):
        return 0
    if node.op.reduction is not None:
        return bind(node.inputs[0].size, sizes)
    return node.op.cost * bind(node.outputs[0].size, sizes)


def _flops(bound: BoundStep, sizes: Mapping[str, int]) -> int:
    step, node = bound.step, bound.step.node
    if step.name in _MOVEMENTS:
        return 0
    if step.name == "combine":
        return bind(step.reads[0].items, sizes)
    if step.name in _ADDITIONS:
        return bind(node.inputs[2].size, sizes)
    nodes = members(bound)
    if all(member.op.expression or member.op.reduction or member.op.rows for member in nodes):
        return sum(_loop_flops(member, sizes) for member in nodes)
    if not any(value.dtype.is_float for value in node.outputs):
        return 0
    if node.op.name in _PAIRS:
        return 2 * bind(_PAIRS[node.op.name](node), sizes)
    return bind(bound.kernel.work, sizes)


def _bytes(buffer: Buffer, sizes: Mapping[str, int]) -> int:
    return bind(buffer.items, sizes) * buffer.dtype.itemsize
