"""What is known of a value before the graph is run: literals, and operations on nothing but literals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from graphc.errors import GraphError
from graphc.ir import ops
from graphc.ir.bodies import bodies
from graphc.ir.graph import Node, Value
from graphc.ir.interpret import evaluate_node
from graphc.ir.op import Array
from graphc.ir.types import DType
from graphc.passes.rewrite import Matcher

__all__ = ["array_of", "fold", "literal", "operand_and_scalar", "scalar_of"]

_FOLDED_ITEMS = 1 << 16


def array_of(value: Value, matcher: Matcher) -> Array | None:
    """The array of a literal."""
    node = matcher.producer(value, "constant")
    return node.attrs.array if node else None


def scalar_of(value: Value, matcher: Matcher) -> Array | None:
    """The number that all items of a value are, as a 0-d array, if it is known."""
    while node := matcher.producer(value, "broadcast_to", "reshape", "transpose"):
        value = node.inputs[0]
    array = array_of(value, matcher)
    if array is None or not array.size:
        return None
    bits = np.ascontiguousarray(array).reshape(-1).view(f"u{array.itemsize}")
    return array.reshape(-1)[0].reshape(()) if bits[0] == bits[-1] and (bits == bits[0]).all() else None


def operand_and_scalar(node: Node, matcher: Matcher) -> Iterator[tuple[Value, Array]]:
    """The operand and the known number of an operation on two, of which either may come first."""
    first, second = node.inputs
    for operand, other in ((first, second), (second, first)):
        if (scalar := scalar_of(other, matcher)) is not None:
            yield operand, scalar


def literal(number: object, dtype: DType) -> Value:
    """A 0-d constant; integers beyond the dtype wrap around, as those of its arithmetic do."""
    return ops.constant(np.asarray(number).astype(dtype.numpy))


def fold(node: Node, matcher: Matcher) -> Sequence[Value] | None:
    """The results of a node as literals, if all its inputs are, and the results need no more memory than these.

    Results of up to 65,536 items may be larger. Repetition is not written out. What may fault is left to be reported
    when the graph is run.
    """
    arrays = []
    for value in node.inputs:
        if (array := array_of(value, matcher)) is None:
            return None
        arrays.append(array)
    if not arrays or node.op.name == "broadcast_to" or node.op.faults or bodies(node):
        return None
    memory = max(array.nbytes for array in arrays)
    for value in node.outputs:
        size = value.size
        if not isinstance(size, int) or (size > _FOLDED_ITEMS and size * value.dtype.itemsize > memory):
            return None
    try:
        with np.errstate(all="ignore"):
            results = evaluate_node(node, arrays, {})
    except GraphError:  # an attribute depends on a size that is not known yet
        return None
    return [ops.constant(result) for result in results]
