"""An operation on values as an expression that a person can read, for messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphc.ir.graph import Value
    from graphc.ir.op import OpDef

__all__ = ["expression_text"]

_DEPTH = 3
"""How many operations within each other are written out."""

_WIDTH = 60
"""An operand that takes more characters is cut to its outermost operation."""


def expression_text(op: OpDef, inputs: Sequence[Value]) -> str:
    """As in ``add(matmul(image, weight): float32[batch, 10], bias: float32[11])``."""
    return f"{op.name}({', '.join(f'{_operand(value)}: {value.type}' for value in inputs)})"


def _operand(value: Value) -> str:
    text = _text(value, _DEPTH)
    return text if len(text) <= _WIDTH else _text(value, 1)


def _text(value: Value, depth: int) -> str:
    node = value.node
    if not node.inputs:
        if node.op.name == "constant" and not value.ndim:
            return str(node.attrs.array)
        return value.name or node.op.name
    if not depth:
        return "..."
    arguments = ", ".join(_text(operand, depth - 1) for operand in node.inputs)
    return f"{node.op.name}({arguments if depth > 1 else '...'})"
