"""A group of nodes that one kernel computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.ir.build import apply
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.interpret import run_body
from graphc.ir.op import OpDef, Sample, no_gradient, registry
from graphc.ir.ops.arithmetic import add
from graphc.ir.ops.leaves import placeholder
from graphc.ir.ops.transcendental import exp
from graphc.ir.substitute import substitute
from graphc.ir.types import TensorType
from graphc.record import record

__all__: list[str] = []


@record(eq=False)
class FusedAttrs:
    """The group as a graph: its inputs stand for the node's inputs, its outputs for the node's outputs."""

    body: Graph


def _infer(attrs: FusedAttrs, *types: TensorType) -> tuple[TensorType, ...]:
    expected = tuple(value.type for value in attrs.body.inputs)
    if types != expected:
        raise ShapeError(
            f"operands of types {', '.join(map(str, types))}",
            expected=f"those of the body's inputs: {', '.join(map(str, expected))}",
        )
    return tuple(value.type for value in attrs.body.outputs)


def _inlined(node: Node) -> list[Value]:
    body: Graph = node.attrs.body
    return substitute(body.outputs, dict(zip(body.inputs, node.inputs, strict=True)))


def _sample(x: Value, y: Value) -> Value:
    arguments = [placeholder(x.shape, x.dtype), placeholder(y.shape, y.dtype)]
    return fused(Graph.of(arguments, (exp(add(*arguments)),)), (x, y))[0]


FUSED = registry.add(
    OpDef(
        "fused",
        "Elementwise operations, operations by rows, and reductions over one set of axes at their ends, in one kernel.",
        infer=_infer,
        evaluate=lambda attrs, *arrays: run_body(attrs.body, arrays),
        vjp=no_gradient,  # groups are made after differentiation
        attrs=FusedAttrs,
        decompose=_inlined,
        samples=lambda: [Sample(_sample, (np.linspace(-1, 1, 6).reshape(2, 3), np.linspace(0, 1, 3)))],
    )
)


def fused(body: Graph, inputs: Sequence[Any]) -> tuple[Value, ...]:
    """The results of a group for the values that its inputs stand for."""
    return apply(FUSED, inputs, FusedAttrs(body)).outputs
