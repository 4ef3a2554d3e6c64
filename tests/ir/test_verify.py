from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from graphc.errors import GraphError, VerifyError
from graphc.ir import ops, verify
from graphc.ir.build import apply_one
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.op import NoAttrs, OpDef, no_gradient, registry
from graphc.ir.ops.fused import FusedAttrs, fused
from graphc.ir.source import Origin
from graphc.ir.types import TensorType, collect_constraints, float32


def node_of(name: str, inputs: Sequence[Value], types: Sequence[TensorType], attrs: Any = None) -> Node:
    """A node that nobody checked."""
    node = Node(registry[name], tuple(inputs), NoAttrs() if attrs is None else attrs, Origin())
    object.__setattr__(node, "outputs", tuple(Value(node, index, type) for index, type in enumerate(types)))
    return node


def op_with(attrs: type) -> OpDef:
    return OpDef("custom", "", infer=lambda attrs, x: x, evaluate=lambda attrs, x: x, vjp=no_gradient, attrs=attrs)


@dataclass
class Thawed:
    axis: int = 0


@dataclass(frozen=True)
class Holder:
    value: Any


x = ops.placeholder((3,), name="x")
y = ops.placeholder((3,), name="y")
w = ops.parameter(np.zeros(3, np.float32), name="w")
doubled = x + x
vector = TensorType(float32, (3,))


def graph_of(*nodes: Node, inputs: Sequence[Value] = (x,), updates: Sequence[tuple[Value, Value]] = ()) -> Graph:
    """A graph that computes the outputs of the last node."""
    return Graph(tuple(inputs), nodes[-1].outputs if nodes else (), tuple(updates), nodes)


def custom(attrs: Any) -> Graph:
    return Graph.of([x], [apply_one(op_with(type(attrs)), [x], attrs)])


def body_graph(body: Graph) -> Graph:
    return graph_of(x.node, node_of("fused", [x], [vector], FusedAttrs(body)))


def twice_an_output() -> Graph:
    node = node_of("exp", [x], [vector])
    other = node_of("exp", [x], [vector])
    object.__setattr__(other, "outputs", node.outputs)
    return Graph((x,), (), (), (x.node, other))


BROKEN: dict[str, tuple[Callable[[], Graph], str, str]] = {
    # a graph, what the message says, what it expects
    "twice": (lambda: graph_of(x.node, doubled.node, doubled.node), "a node of add stands twice", "stand once"),
    "order": (lambda: graph_of(doubled.node, x.node), "operand 0 of add .* later in the graph", "earlier nodes"),
    "missing operand": (lambda: graph_of(doubled.node, inputs=()), "operand 0 of add .* not in the graph", "earlier"),
    "missing output": (
        lambda: Graph((x,), (doubled,), (), (x.node,)),
        "output 0 is <add: .*>, which no node of the graph computes",
        "all that its results depend on",
    ),
    "missing input": (lambda: graph_of(w.node), "input 0 is <placeholder 'x'", "all that its results depend on"),
    "missing next value": (
        lambda: graph_of(x.node, w.node, updates=[(w, doubled)]),
        "next value 0 is <add",
        "all that its results",
    ),
    "missing variable": (
        lambda: graph_of(x.node, doubled.node, updates=[(w, doubled)]),
        "updated variable 0 is <variable 'w'",
        "all that its results",
    ),
    "stolen output": (twice_an_output, "output 0 of exp .* another node's", "refer to the node that lists them"),
    "input that is no placeholder": (
        lambda: graph_of(x.node, doubled.node, inputs=[doubled]),
        "input 0 is <add",
        "inputs to be placeholders",
    ),
    "input twice": (lambda: graph_of(x.node, inputs=[x, x]), "<placeholder 'x': .*> is an input twice", "once"),
    "free placeholder": (
        lambda: graph_of(x.node, doubled.node, inputs=()),
        "reads <placeholder 'x': .*>, which is not among its inputs",
        "to be an input",
    ),
    "update of a value": (
        lambda: graph_of(x.node, doubled.node, updates=[(doubled, x)]),
        "<add: .*> is to be updated",
        "updates of variables",
    ),
    "two updates": (
        lambda: graph_of(x.node, w.node, updates=[(w, x), (w, w)]),
        "<variable 'w': .*> has two next values",
        "one update of each variable",
    ),
    "update of another type": (
        lambda: Graph.of([], [], {w: ops.constant(0.0)}),
        "the next value of <variable 'w': .*> is <constant: float32\\[\\]>",
        "the variable's type, float32[3]",
    ),
    "attributes of another class": (
        lambda: graph_of(x.node, node_of("cast", [x], [vector])),
        "the attributes of cast are a NoAttrs",
        "a CastAttrs",
    ),
    "thawed attributes": (lambda: custom(Thawed()), "Thawed can be changed", "a frozen dataclass"),
    "list in attributes": (
        lambda: custom(Holder([0])),
        "the attribute value of custom is a list",
        "hashable values",
    ),
    "array in attributes": (
        lambda: custom(Holder((1, np.zeros(2)))),
        "the attribute value of custom is a tuple",
        "arrays that are not writeable",
    ),
    "wrong type": (
        lambda: graph_of(x.node, node_of("exp", [x], [TensorType(float32, (4,))])),
        "exp has the types float32\\[4\\]",
        "float32[3], as its inference says",
    ),
    "wrong number of outputs": (
        lambda: graph_of(x.node, node_of("exp", [x], [vector, vector])),
        "exp has the types float32\\[3\\], float32\\[3\\]",
        "float32[3], as its inference says",
    ),
    "operands that do not fit": (
        lambda: graph_of(x.node, node_of("bitwise_not", [x], [vector])),
        "an operand of dtype float32",
        "bool or integers",
    ),
    "missing operands": (
        lambda: graph_of(x.node, node_of("where", [x], [vector])),
        "inference of where failed with TypeError: .*missing 2 required",
        "operands and attributes that the operation takes",
    ),
    "broken body": (
        lambda: body_graph(Graph((y,), (doubled,), (), (y.node, doubled.node))),
        "in the graph body of fused: operand 0 of add",
        "earlier nodes",
    ),
    "body that reads what surrounds it": (
        lambda: body_graph(Graph.of([y], [x + y])),
        "in the graph body of fused: the graph reads <placeholder 'x'",
        "to be an input",
    ),
    "body with updates": (
        lambda: body_graph(Graph.of([y], [y], {w: y})),
        "the graph body of fused updates <variable 'w'",
        "the outermost graph alone",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_graphs_are_refused(case: str) -> None:
    make, found, expected = BROKEN[case]
    graph = make()
    with pytest.raises(VerifyError, match=found) as error:
        verify.verify(graph)
    assert expected in error.value.expected


@pytest.mark.parametrize("check", verify.CHECKS, ids=lambda check: check.__name__)
def test_every_check_finds_something(check: Callable[[Graph], None]) -> None:
    def finds(make: Callable[[], Graph]) -> bool:
        try:
            check(make())
        except VerifyError:
            return True
        except GraphError:
            return False
        return False

    assert any(finds(make) for make, _, _ in BROKEN.values())


def test_the_message_shows_the_node_and_the_users_line() -> None:
    a = ops.placeholder((3,), name="a")
    value = a * 2.0  # the node to be broken
    object.__setattr__(value, "type", TensorType(float32, (4,)))
    with pytest.raises(VerifyError) as error:
        verify.verify(Graph.of([a], [value]))
    lines = str(error.value).splitlines()
    assert lines[0] == "multiply has the types float32[4], in `%1: float32[4] = multiply(%a, %0)`"
    assert lines[1] == "  expected: float32[3], as its inference says"
    assert lines[2].endswith("value = a * 2.0  # the node to be broken")


def test_whole_graphs_pass() -> None:
    @ops.custom_gradient
    def clipped(v: Value) -> tuple[Value, Callable[[Value], Value]]:
        return v, lambda g: ops.clip(g, -1.0, 1.0)

    a = ops.placeholder((None, 3), name="a")
    inner = [ops.placeholder(a.shape), ops.placeholder((3,))]
    (group,) = fused(Graph.of(inner, [ops.exp(inner[0] * inner[1])]), [a, w])
    loss = ops.sum(clipped(group) + np.arange(3, dtype=np.float32))
    verify.verify(Graph.of([a], [loss], {w: w - ops.grad(loss, w)}))
    verify.verify(Graph.of((), ()))


def test_inferring_again_assumes_nothing_new() -> None:
    a, b = ops.placeholder((None,)), ops.placeholder((None,))
    graph = Graph.of([a, b], [a + b])
    with collect_constraints() as found:
        verify.verify(graph)
    assert found == []


def test_ten_thousand_nodes_take_less_than_a_third_of_a_second() -> None:
    a = ops.placeholder((None, 8))
    value = a
    for _ in range(3333):
        value = ops.relu(value * 0.5)
    graph = Graph.of([a], [value])
    assert len(graph.nodes) >= 9_999
    times = []
    for _ in range(3):
        start = time.process_time()
        verify.verify(graph)
        times.append(time.process_time() - start)
    assert min(times) < 0.3
