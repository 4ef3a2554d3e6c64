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
