from __future__ import annotations

import numpy as np

import graphc as gr
from graphc.ir.graph import Graph
from graphc.ir.printer import to_text
from graphc.ir.verify import verify
from graphc.passes.dce import Dce
from tests.passes.passing import results


def with_unused() -> tuple[Graph, gr.Value]:
    x, y = gr.placeholder((2,), "float64", name="x"), gr.placeholder((2,), "float64", name="y")
    kept = gr.exp(x)
    unused = gr.sin(gr.cos(y) + kept)
    graph = Graph.of([x, y], [kept, unused])
    return Graph(graph.inputs, (kept,), (), graph.nodes), x


def test_unused_nodes_are_removed_and_inputs_kept() -> None:
    graph, x = with_unused()
    after = Dce()(graph)
    verify(after)
    assert to_text(after) == (
        "inputs: %x, %y\n"
        "%x: float64[2] = placeholder()\n"
        "%y: float64[2] = placeholder()\n"
        "%0: float64[2] = exp(%x)\n"
        "outputs: %0\n"
    )
    point = np.array([1.0, 2.0])
    feeds = {x: point, graph.inputs[1]: point}
    np.testing.assert_array_equal(results(after, feeds), results(graph, feeds))


def test_order_stays() -> None:
    graph, _ = with_unused()
    after = Dce()(graph)
    order = {node: place for place, node in enumerate(graph.nodes)}
    assert [order[node] for node in after.nodes] == sorted(order[node] for node in after.nodes)


def test_updates_keep_what_they_need() -> None:
    w, v = gr.parameter(np.ones(2), "w"), gr.variable(np.zeros(2), "v")
    graph = Graph.of([], [], {w: w - gr.exp(w), v: v})
    after = Dce()(graph)
    verify(after)
    assert to_text(after) == (
        "%w: float64[2] = variable(trainable=True)\n"
        "%0: float64[2] = exp(%w)\n"
        "%1: float64[2] = subtract(%w, %0)\n"
        "updates:\n"
        "  %w <- %1\n"
    )


def test_nothing_unused_gives_the_same_graph() -> None:
    x = gr.placeholder((2,), name="x")
    graph = Graph.of([x], [gr.exp(x)])
    assert Dce()(graph) is graph


# --- loops and choices


def trimmed(outputs: list[gr.Value], x: gr.Value) -> Graph:
    """The graph without what the outputs do not need; once more changes nothing, and the values stay."""
    graph = Graph.of([x], outputs)
    after = Dce()(graph)
    verify(after)
    assert Dce()(after) is after
    point = np.linspace(-1, 1, 12).reshape(4, 3)
    for found, wanted in zip(results(after, {x: point}), results(graph, {x: point}), strict=True):
        np.testing.assert_array_equal(found, wanted)
    return after


def sizes(graph: Graph, name: str) -> list[tuple[int, int]]:
    """Inputs and outputs of the nodes of a name."""
    return [(len(node.inputs), len(node.outputs)) for node in graph.nodes if node.op.name == name]


def test_state_and_outputs_of_a_scan_that_nothing_needs() -> None:
    x = gr.placeholder((4, 3), "float64")

    def step(state: tuple[gr.Value, ...], x: gr.Value) -> tuple[tuple[gr.Value, ...], tuple[gr.Value, ...]]:
        a, b, c = state
        return (a * x, b + a, c * 2.0), (a, gr.exp(c), b * 3.0)

    (a, b, c), (first, second, third) = gr.scan(step, (x[0], x[1], x[2]), x)
    assert sizes(trimmed([a, b, c, first, second, third], x), "scan") == [(4, 6)]
    assert sizes(trimmed([a], x), "scan") == [(2, 1)]
    assert sizes(trimmed([b], x), "scan") == [(3, 2)]  # b needs a
    assert sizes(trimmed([c], x), "scan") == [(1, 1)]
    assert sizes(trimmed([second], x), "scan") == [(1, 2)]
    assert sizes(trimmed([third, c], x), "scan") == [(4, 4)]


def test_a_state_that_does_not_change_needs_no_slices() -> None:
    x = gr.placeholder((4, 3), "float64")
    carry, _ = gr.scan(lambda h, x: (h, h * x), x[0], x)
    assert sizes(trimmed([carry], x), "scan") == [(1, 1)]


def test_results_and_operands_of_a_choice_that_nothing_needs() -> None:
    x = gr.placeholder((4, 3), "float64")
    y, z = gr.exp(x), gr.sin(x)
    first, second = gr.cond(x.sum() > 0, lambda x, y, z: (x, y), lambda x, y, z: (z, y * 2.0), x, y, z)
    assert sizes(trimmed([first, second], x), "cond") == [(4, 2)]
    after = trimmed([second], x)
    assert sizes(after, "cond") == [(2, 1)]
    assert "sin" not in [node.op.name for node in after.nodes]


def test_state_of_a_while_loop_that_nothing_needs() -> None:
    x = gr.placeholder((4, 3), "float64")
    count, total, other = gr.while_loop(
        lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] + s[2], s[2] * 2.0), (0, x, gr.sin(x))
    )
    assert sizes(trimmed([count, total, other], x), "while_loop") == [(3, 3)]
    assert sizes(trimmed([other], x), "while_loop") == [(2, 2)]  # the condition needs the count
    assert sizes(trimmed([count], x), "while_loop") == [(1, 1)]


def test_parts_of_loops_inside_loops() -> None:
    x = gr.placeholder((4, 3), "float64")
    w = gr.exp(x)

    def outer(h: gr.Value, x: gr.Value) -> tuple[gr.Value, gr.Value]:
        carry, (first, _) = gr.scan(lambda g, z: (gr.tanh(g * z), (g, gr.sin(g * z))), h, w)
        _, (_, second) = gr.scan(lambda g, z: (g * z, (g, gr.cos(z))), x, w)
        return carry, (first, second)

    carry, (first, second) = gr.scan(outer, x[0], x)
    after = trimmed([carry, first], x)
    (node,) = [node for node in after.nodes if node.op.name == "scan"]
    assert sizes(node.attrs.body, "scan") == [(2, 2)]
    assert sizes(after, "scan") == [(2, 2)]  # the slices were for the second loop
    after = trimmed([second], x)
    (node,) = [node for node in after.nodes if node.op.name == "scan"]
    assert sizes(node.attrs.body, "scan") == [(1, 1)]
    assert sizes(after, "scan") == [(1, 1)]
    assert len(trimmed([carry, first, second], x).nodes) == len(Graph.of([x], [carry, first, second]).nodes)
