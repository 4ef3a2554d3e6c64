"""The only maker of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from graphc.errors import GraphError
from graphc.ir.expression import expression_text
from graphc.ir.graph import Node, Value
from graphc.ir.op import NoAttrs, OpDef
from graphc.ir.source import current_origin, origin
from graphc.ir.types import TensorType

__all__ = ["apply", "apply_one", "made_nodes", "rebuild"]

_NO_ATTRS = NoAttrs()
_made: ContextVar[set[Node] | None] = ContextVar("made", default=None)


@contextmanager
def made_nodes() -> Iterator[set[Node]]:
    """Gives a set that holds, after the block, the nodes that were made in it."""
    outer, nodes = _made.get(), set[Node]()
    token = _made.set(nodes)
    try:
        yield nodes
    finally:
        _made.reset(token)
        if outer is not None:
            outer |= nodes


def infer_types(op: OpDef, types: Sequence[TensorType], attrs: Any) -> tuple[TensorType, ...]:
    """The types of the results of an operation."""
    result = op.infer(attrs, *types)
    return (result,) if isinstance(result, TensorType) else result


def name_operation(error: GraphError, op: OpDef) -> None:
    """Let an error say which operation refused its inputs."""
    if not error.found.startswith(f"{op.name}: "):
        error.found = f"{op.name}: {error.found}"


def apply(op: OpDef, inputs: Sequence[Value], attrs: Any = _NO_ATTRS, *, value_class: type[Value] = Value) -> Node:
    """A new node that applies ``op``: infers the types of its outputs and records the user's line.

    Raises:
        GraphError: the inputs do not fit the operation; the message names both, the operands and the user's line.
    """
    current = current_origin()
    try:
        types = infer_types(op, [value.type for value in inputs], attrs)
    except GraphError as error:
        error.location = error.location or current.location
        error.expression = error.expression or expression_text(op, inputs)
        name_operation(error, op)
        raise
    node = Node(op, tuple(inputs), attrs, current)
    outputs = tuple(value_class(node, index, type) for index, type in enumerate(types))
    object.__setattr__(node, "outputs", outputs)
    made = _made.get()
    if made is not None:
        made.add(node)
    return node


def apply_one(op: OpDef, inputs: Sequence[Value], attrs: Any = _NO_ATTRS) -> Value:
    """The value of a new node with one output."""
    return apply(op, inputs, attrs).outputs[0]


def rebuild(node: Node, inputs: Sequence[Value]) -> Node:
    """The same operation, attributes and origin on other inputs."""
    with origin(node.origin):
        return apply(node.op, inputs, node.attrs)
