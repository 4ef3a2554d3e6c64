"""Transposed operands of loops, and where they are transposed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import graphc as gr
from graphc.ir.graph import Graph, Node, Value
from graphc.passes.sink_views import SinkViews
from tests.passes.passing import applied, graph_of, names, results

RNG = np.random.default_rng(0)
X, W, V = RNG.standard_normal((5, 2, 3)), RNG.standard_normal((4, 3)), RNG.standard_normal((3, 3))


def loop(graph: Graph) -> Node:
    (node,) = [node for node in graph.nodes if node.op.name == "scan"]
    return node


def sunk(build: Callable[..., object]) -> Graph:
    """The graph after the pass, which kept its values."""
    graph, feeds = graph_of(build, [X, W, V])
    after = applied(graph, SinkViews())
    for found, wanted in zip(results(after, feeds), results(graph, feeds), strict=True):
        np.testing.assert_array_equal(found, wanted)
    return after


def test_a_matrix_that_products_read() -> None:
    def build(x: Value, w: Value, v: Value) -> Value:
        return gr.scan(lambda h, x: (gr.tanh(h + x @ w.T @ gr.ones((4, 3), "float64")), None), x[0], x)[0]

    after = sunk(build)
    assert "transpose" not in names(after)
    assert names(loop(after).attrs.body).count("transpose") == 1
    assert loop(after).inputs[0] is after.inputs[1]


@pytest.mark.parametrize(
    "step",
    [
        lambda h, x, t: (h @ t + h @ (t + x[0]), None),  # a sum reads it too
        lambda h, x, t: (gr.tanh(h * t[:2] + x), None),  # no product at all
        lambda h, x, t: (h + x, t),  # handed out
        lambda h, x, t: (h + x, None),  # not read
    ],
)
def test_what_stays(step: Callable[..., tuple[Value, Value | None]]) -> None:
    def build(x: Value, w: Value, v: Value) -> list[Value]:
        turned = v.T
        last, stacked = gr.scan(lambda h, x: step(h, x, turned), x[0], x)
        return [last] if stacked is None else [last, stacked]

    graph, _ = graph_of(build, [X, W, V])
    assert SinkViews()(graph) is graph


def test_loops_in_loops() -> None:
    def build(x: Value, w: Value, v: Value) -> Value:
        def outer(h: Value, x: Value) -> tuple[Value, None]:
            turned = (v * gr.sum(h)).T
            return gr.scan(lambda g, row: (gr.tanh(g @ turned + row), None), h, gr.expand_dims(x, 0))[0], None

        return gr.scan(outer, x[0], x)[0]

    after = sunk(build)
    inner = loop(loop(after).attrs.body)
    assert "transpose" not in names(after) + names(loop(after).attrs.body)
    assert names(inner.attrs.body).count("transpose") == 1


def test_a_recurrent_layer_reads_its_weights_as_they_lie() -> None:
    x = gr.placeholder((5, 2, 3), "float64")
    layer = gr.nn.LSTM(3, 4, dtype="float64", rng=0)
    loss = (layer(x)[0] ** 2).sum()
    outputs = [loss, *gr.grad(loss, [layer.weight_hh_l0, x])]
    function = gr.compile([x], outputs)
    assert layer.weight_hh_l0 in {value for node in function.graph.nodes for value in node.inputs}
    loops = [node for node in function.graph.nodes if node.op.name == "scan"]
    assert [node.inputs[0] is layer.weight_hh_l0 for node in loops] == [True, True]
    for found, wanted in zip(function(X), gr.evaluate(outputs, {x: X}), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-12, 1e-12)
