from __future__ import annotations

import numpy as np

import graphc as gr
from graphc.ir.graph import Graph, Value
from graphc.ir.printer import to_text
from graphc.passes.autodiff import Autodiff
from graphc.passes.cse import Cse
from tests.passes.passing import applied, check_pass, graph_of, names, results

X = np.array([0.5, -1.0, 2.0])


def test_equal_expressions_are_computed_once() -> None:
    graph, feeds = graph_of(lambda x: gr.exp(x) * 2.0 + gr.exp(x) * 2.0, [X])
    after = applied(graph, Cse())
    assert to_text(after) == (
        "inputs: %x\n"
        "%x: float64[3] = placeholder()\n"
        "%0: float64[3] = exp(%x)\n"
        "%1: float64[] = constant(2.0)\n"
        "%2: float64[3] = multiply(%0, %1)\n"
        "%3: float64[3] = add(%2, %2)\n"
        "outputs: %3\n"
    )
    np.testing.assert_array_equal(results(after, feeds), results(graph, feeds))


def test_commutative_operations_in_either_order() -> None:
    def build(x: Value, y: Value) -> list[Value]:
        return [x + y, y + x, x - y, y - x, gr.maximum(x, y) * gr.maximum(y, x)]

    graph, _ = graph_of(build, [X, X])
    assert names(applied(graph, Cse())) == ["add", "subtract", "subtract", "maximum", "multiply"]
    check_pass(build, [X, X[::-1]], Cse())


def test_attributes_and_dtypes_tell_apart() -> None:
    def build(x: Value) -> list[Value]:
        return [x.sum(), x.sum(keepdims=True), x.astype("float32"), x.astype("int32"), x[1:], x[:-1]]

    graph, _ = graph_of(build, [X])
    assert len(names(applied(graph, Cse()))) == 6


def test_constants_are_equal_in_their_bits() -> None:
    zeros = [gr.constant(0.0), gr.constant(-0.0), gr.constant(0), gr.constant([0.0]), gr.constant(0.0)]
    nans = [gr.constant(np.nan), gr.constant(np.nan)]
    after = applied(Graph.of([], [*zeros, *nans]), Cse())
    assert len(after.nodes) == 5
    assert after.outputs[0] is after.outputs[4]
    assert after.outputs[5] is after.outputs[6]


def test_placeholders_and_variables_are_never_merged() -> None:
    x, y = gr.placeholder((3,), name="x"), gr.placeholder((3,), name="x")
    v, w = gr.variable(np.zeros(3, np.float32)), gr.variable(np.zeros(3, np.float32))
    graph = Graph.of([x, y], [x + v, y + v, x + w])
    assert Cse()(graph) is graph


def test_random_numbers_of_one_state_differ_by_stream() -> None:
    generator = gr.random.Generator(1)
    first, second = generator.normal((3,)), generator.normal((3,))
    after = applied(Graph.of([], [first, second]), Cse())
    assert after.outputs[0] is not after.outputs[1]


def test_all_outputs_of_a_node() -> None:
    def build(x: Value) -> list[Value]:
        @gr.custom_gradient
        def both(v: Value) -> tuple[tuple[Value, Value], object]:
            return (gr.sin(v), gr.cos(v)), lambda g, h: g + h

        loss = gr.sum(gr.sin(x))
        return [*both(x), gr.grad(loss, x), gr.grad(gr.sum(gr.sin(x)), x)]

    graph, feeds = graph_of(build, [X])
    after = applied(graph, Cse(), Autodiff(), Cse())
    assert after.outputs[2] is after.outputs[3]
    for found, wanted in zip(results(after, feeds), results(applied(graph, Autodiff()), feeds), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_value_that_is_differentiated_by_is_not_merged() -> None:
    x = gr.placeholder((), "float64", name="x")
    a, b = gr.exp(x), gr.exp(x)
    graph = Graph.of([x], [gr.grad(a * b, a), a, b])
    after = applied(graph, Cse())
    assert after.outputs[1] is not after.outputs[2]
    found, *_ = results(applied(after, Autodiff(), Cse()), {x: np.array(1.0)})
    np.testing.assert_allclose(found, np.exp(1.0))


def test_sums_in_either_order_of_open_sizes_stay_apart() -> None:
    """Their types name the sizes that they happen to have."""
    x, y = gr.placeholder((None,), name="x"), gr.placeholder((None,), name="y")
    graph = Graph.of([x, y], [x + y, y + x])
    assert names(applied(graph, Cse())) == ["add", "add"]


def test_nothing_equal_gives_the_same_graph() -> None:
    graph, _ = graph_of(lambda x: gr.exp(x) + gr.sin(x), [X])
    assert Cse()(graph) is graph


def step(h: Value, x: Value) -> tuple[Value, Value]:
    return gr.tanh(h * x) + gr.tanh(h * x), h


def test_equal_loops_and_choices() -> None:
    """The steps are made one by one, of placeholders of their own."""

    def build(x: Value) -> list[Value]:
        start = gr.sum(x)
        loops = [gr.scan(step, start, x)[1], gr.scan(step, start, x)[1], gr.scan(step, start, x, reverse=True)[1]]
        positive = start > 0
        choices = [
            gr.cond(positive, lambda: x, lambda: x * 2.0),
            gr.cond(positive, lambda: x, lambda: x * 2.0),
            gr.cond(positive, lambda: x, lambda: x * 3.0),
            gr.cond(positive, lambda: x * 2.0, lambda: x),
        ]
        return [*loops, *choices]

    graph, feeds = graph_of(build, [X])
    after = applied(graph, Cse())
    a, b, reverse, c, d, other, exchanged = after.outputs
    assert a is b
    assert c is d
    assert len({a, reverse, c, other, exchanged}) == 5
    for found, wanted in zip(results(after, feeds), results(graph, feeds), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_inside_of_loops() -> None:
    graph, _ = graph_of(lambda x: gr.scan(step, gr.sum(x), x)[0], [X])
    (node,) = [node for node in applied(graph, Cse()).nodes if node.op.name == "scan"]
    assert names(node.attrs.body) == ["multiply", "tanh", "add"]


def test_results_of_a_loop_or_a_choice_that_are_one_value() -> None:
    def build(x: Value) -> list[Value]:
        first, second, other = gr.scan(lambda h, x: (h * x, (gr.tanh(h * x), gr.tanh(h * x), h * x)), gr.sum(x), x)[1]
        a, b, c = gr.cond(gr.sum(x) > 0, lambda: (x * 2.0, x * 2.0, x), lambda: (x * 3.0, x * 3.0, x))
        return [first, second, other, a, b, c]

    graph, feeds = graph_of(build, [X])
    first, second, other, a, b, c = applied(graph, Cse()).outputs
    assert first is second and first is not other
    assert a is b and a is not c
    for found, wanted in zip(results(applied(graph, Cse()), feeds), results(graph, feeds), strict=True):
        np.testing.assert_array_equal(found, wanted)
    (loop,) = [node for node in applied(graph, Cse()).nodes if node.op.name == "scan"]
    assert len(loop.outputs) == 3
