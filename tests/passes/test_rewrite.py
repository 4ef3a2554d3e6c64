from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

import graphc as gr
from graphc.errors import VerifyError
from graphc.ir.build import apply
from graphc.ir.graph import Graph, Node, Value
from graphc.ir.op import OpDef, no_gradient
from graphc.ir.printer import to_text
from graphc.ir.verify import verify
from graphc.passes.rewrite import Matcher, differentiated, in_bodies, rewrite, rewrite_bodies
from tests.passes.passing import formulas


def placeholder(name: str = "x") -> Value:
    return gr.placeholder((3,), "float64", name=name)


def squares(node: Node, matcher: Matcher) -> Sequence[Value] | None:
    """A rule for the tests: sin becomes the square of its operand."""
    return (gr.multiply(node.inputs[0], node.inputs[0]),) if node.op.name == "sin" else None


def test_replaces_inputs_first() -> None:
    x = placeholder()
    after = rewrite(Graph.of([x], [gr.sin(gr.sin(x)) + 1.0]), squares)
    verify(after)
    assert to_text(after) == (
        "inputs: %x\n"
        "%x: float64[3] = placeholder()\n"
        "%0: float64[3] = multiply(%x, %x)\n"
        "%1: float64[3] = multiply(%0, %0)\n"
        "%2: float64[] = constant(1.0)\n"
        "%3: float64[3] = add(%1, %2)\n"
        "outputs: %3\n"
    )


def test_nothing_to_replace_gives_the_same_graph() -> None:
    x = placeholder()
    graph = Graph.of([x], [gr.cos(x)])
    assert rewrite(graph, squares) is graph


def test_what_does_not_depend_on_a_replaced_value_stays_the_same_object() -> None:
    x = placeholder()
    kept = gr.cos(x)
    after = rewrite(Graph.of([x], [kept, gr.sin(x)]), squares)
    assert after.outputs[0] is kept


def test_outputs_and_updates_are_replaced() -> None:
    w = gr.parameter(np.zeros(3), "w")
    after = rewrite(Graph.of([], [gr.sin(w)], {w: w - gr.sin(w)}), squares)
    verify(after)
    assert formulas(after.results) == ["multiply(w, w)", "subtract(w, multiply(w, w))"]
    assert after.updates[0][0] is w


def test_replacement_by_a_value_that_comes_later() -> None:
    """Nodes keep an order in which each comes after its inputs, whatever a rule returns."""
    x = placeholder()
    first, second = gr.sin(x), gr.exp(gr.cos(x))
    graph = Graph.of([x], [first + 1.0, second])

    def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
        return (second,) if node.op.name == "sin" else None

    after = rewrite(graph, rule)
    verify(after)
    assert formulas(after.outputs) == ["add(exp(cos(x)), 1.0)", "exp(cos(x))"]


def test_nodes_made_by_rules_have_the_origin_of_the_node() -> None:
    x = placeholder()
    with gr.scope("layer"):
        value = gr.sin(x)
    after = rewrite(Graph.of([x], [value]), squares)
    assert after.outputs[0].node.origin == value.node.origin
    assert after.outputs[0].node.scope == "layer"


def test_another_type_is_an_error() -> None:
    x = placeholder()
    graph = Graph.of([x], [gr.sin(x)])
    with pytest.raises(
        VerifyError, match="sin, of type float64\\[3\\], was replaced by sum, of type float64\\[\\]"
    ) as info:
        rewrite(graph, lambda node, matcher: (gr.sum(node.inputs[0]),) if node.op.name == "sin" else None)
    assert info.value.location is not None


def test_differentiated_values() -> None:
    x, y = placeholder("x"), placeholder("y")
    a, b = gr.exp(x), gr.cos(y)
    loss = gr.sum(a * b)
    tangent = gr.sin(x)
    graph = Graph.of([x, y], [*gr.grad(loss, [a, y]), gr.jvp(a * b, b, tangent)])
    assert differentiated(graph) == {a, y, b}


def test_differentiated_values_are_protected_and_hidden() -> None:
    x = placeholder()
    a = gr.sin(x)
    graph = Graph.of([x], [gr.sin(a), gr.grad(gr.sum(gr.sin(a)), a)])
    seen: dict[str, bool] = {}

    def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
        if node.op.name == "sin":
            seen[formulas(node.outputs)[0]] = matcher.producer(node.inputs[0], "sin") is None
            assert matcher.hidden(node.inputs[0])
        return None

    assert rewrite(graph, rule) is graph
    assert seen == {"sin(sin(x))": True}
    after = rewrite(graph, squares)
    assert formulas(after.outputs[:1]) == ["multiply(sin(x), sin(x))"]
    assert after.outputs[1].node.inputs[-1] is a
    assert formulas(rewrite(graph, squares, protect=False).outputs[:1]) == ["multiply(multiply(x, x), multiply(x, x))"]


def test_producer_asks_for_operations_by_name() -> None:
    x = placeholder()
    value = gr.exp(x)
    matcher = Matcher(Graph.of([x], [value]))
    assert matcher.producer(value) is value.node
    assert matcher.producer(value, "log", "exp") is value.node
    assert matcher.producer(value, "log") is None


def test_shared_counts_uses() -> None:
    x = placeholder()
    once, twice, squared, out = gr.exp(x), gr.cos(x), gr.tanh(x), gr.sqrt(x)
    outputs = [once + twice, twice * 2.0, squared * squared, out, out + 1.0]
    matcher = Matcher(Graph.of([x], outputs))
    assert [matcher.shared(value) for value in (once, twice, squared, out)] == [False, True, True, True]


def test_shared_follows_replacements() -> None:
    x = placeholder()
    value = gr.sin(x)
    graph = Graph.of([x], [value + 1.0, value * 2.0])
    found: list[bool] = []

    def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
        if node.op.name in ("add", "multiply") and node.inputs[0] is not x:
            found.append(matcher.shared(node.inputs[0]))
        return squares(node, matcher)

    rewrite(graph, rule)
    assert found == [True, True]


def test_original_is_the_node_before_its_inputs_were_replaced() -> None:
    x = placeholder()
    inner = gr.sin(x)
    outer = gr.cos(inner)
    seen: list[tuple[bool, bool]] = []

    def rule(node: Node, matcher: Matcher) -> Sequence[Value] | None:
        if node.op.name == "cos":
            seen.append((matcher.original is outer.node, node is outer.node))
        return squares(node, matcher)

    rewrite(Graph.of([x], [outer]), rule)
    assert seen == [(True, False)]


def test_bodies_are_rewritten_where_they_change() -> None:
    @gr.custom_gradient
    def function(x: Value) -> tuple[Value, object]:
        return gr.sin(x), lambda g: gr.cos(g)

    x = placeholder()
    node = function(x).node
    (after,) = rewrite_bodies(node, lambda graph: rewrite(graph, squares)) or ()
    assert formulas(after.node.attrs.forward.outputs) == ["multiply(placeholder(), placeholder())"]
    assert after.node.attrs.backward is node.attrs.backward
    assert after.node.inputs == node.inputs
    assert rewrite_bodies(node, lambda graph: graph) is None
    assert rewrite_bodies(gr.exp(x).node, lambda graph: graph) is None


def test_the_graphs_inside_nodes_without_the_one_around_them() -> None:
    x = gr.placeholder((4, 3), "float64", name="x")
    inner, _ = gr.scan(lambda h, z: (gr.sin(h) * gr.sin(x), None), gr.sin(x), length=2)
    graph = Graph.of([x], [gr.sin(inner)])
    after = in_bodies(graph, lambda body: rewrite(body, squares))
    verify(after)
    assert after.outputs[0].node.op.name == "sin"
    (body,) = [node.attrs.body for node in after.nodes if node.op.name == "scan"]
    assert "sin" not in [node.op.name for node in body.nodes]
    assert in_bodies(graph, lambda body: body) is graph
    flat = Graph.of([x], [gr.sin(x)])
    assert in_bodies(flat, lambda body: rewrite(body, squares)) is flat


@dataclass(frozen=True)
class Branches:
    """Attributes with several graphs."""

    branches: tuple[Graph, ...]
    count: int = 2


def test_several_bodies() -> None:
    x = placeholder()
    bodies = tuple(Graph.of([x], [build(x)]) for build in (gr.cos, gr.sin))
    op = OpDef(
        "choice", "A test.", infer=lambda attrs, x: x, evaluate=lambda attrs, x: x, vjp=no_gradient, attrs=Branches
    )
    node = apply(op, (x,), Branches(bodies))
    (after,) = rewrite_bodies(node, lambda graph: rewrite(graph, squares)) or ()
    first, second = after.node.attrs.branches
    assert first is bodies[0]
    assert formulas(second.outputs) == ["multiply(x, x)"]
    assert rewrite_bodies(node, lambda graph: graph) is None


def test_long_chains() -> None:
    x = placeholder()
    value = x
    for _ in range(3000):
        value = gr.sin(value)
    after = rewrite(Graph.of([x], [value]), squares)
    assert len(after.nodes) == 3001
