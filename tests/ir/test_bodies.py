from __future__ import annotations

from dataclasses import dataclass

from graphc.ir import ops
from graphc.ir.bodies import bodies
from graphc.ir.build import apply_one
from graphc.ir.graph import Graph
from graphc.ir.op import OpDef, no_gradient
from graphc.ir.printer import to_text


@dataclass(frozen=True, eq=False)
class Choice:
    default: int
    branches: tuple[Graph, ...]
    guard: Graph


def test_graphs_among_attributes_and_inside_tuples_are_found() -> None:
    x = ops.placeholder(3, name="x")
    a = ops.placeholder(3)
    attrs = Choice(1, (Graph.of([a], [ops.exp(a)]), Graph.of([a], [ops.sin(a)])), Graph.of([a], [ops.isnan(a)]))
    op = OpDef("choose", "", infer=lambda attrs, x: x, evaluate=lambda attrs, x: x, vjp=no_gradient, attrs=Choice)
    value = apply_one(op, [x], attrs)
    assert bodies(value.node) == (
        ("branches[0]", attrs.branches[0]),
        ("branches[1]", attrs.branches[1]),
        ("guard", attrs.guard),
    )
    assert bodies(x.node) == ()
    lines = to_text(Graph.of([x], [value])).splitlines()
    assert lines[2] == "%0: float32[3] = choose(%x, default=1)"
    assert [line.strip() for line in lines if "=" in line][3:] == [
        "%0.1: float32[3] = exp(%0.0)",
        "%0.2: float32[3] = placeholder()",
        "%0.3: float32[3] = sin(%0.2)",
        "%0.4: float32[3] = placeholder()",
        "%0.5: bool[3] = isnan(%0.4)",
    ]
