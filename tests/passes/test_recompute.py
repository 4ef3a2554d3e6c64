"""Recompute or store: what is computed again, what is kept, and that values and memory show it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import graphc as gr
from graphc.ir.graph import Graph
from graphc.passes.autodiff import Autodiff
from graphc.passes.cse import Cse
from graphc.passes.dce import Dce
from graphc.passes.recompute import Recompute
from graphc.passes.simplify import Simplify


def prepared(inputs: list[gr.Value], outputs: list[gr.Value]) -> Graph:
    graph = Graph.of(inputs, outputs)
    for each in (Simplify(), Autodiff(), Simplify(), Cse(), Dce()):
        graph = each(graph)
    return graph


def repeated(inputs: list[gr.Value], outputs: list[gr.Value]) -> Counter[str]:
    """The operations that the backward graph has more of after the pass."""
    before = prepared(inputs, outputs)
    after = Recompute()(before)

    def backward(graph: Graph) -> Counter[str]:
        return Counter(node.op.name for node in graph.nodes if node.phase == "backward")

    assert len(after.nodes) - len(before.nodes) == sum((backward(after) - backward(before)).values())
    return backward(after) - backward(before)


def through_products(activation: object, x: gr.Value, w: gr.Value) -> gr.Value:
    return (activation(x @ w) @ w).sum()  # type: ignore[operator]


def test_what_is_cheap_is_computed_again() -> None:
    x, w = gr.placeholder(("n", 4)), gr.placeholder((4, 4))

    def activation(z: gr.Value) -> gr.Value:
        a = gr.exp(z)
        return gr.tanh(a * 2.0 + 1.0) * (a + 3.0)

    # The backward graph reads a, the tanh, and the second sum, which is computed again.
    loss = through_products(activation, x, w)
    assert repeated([x, w], [loss, gr.grad(loss, x)]) == {"add": 1}


def test_what_costs_more_than_its_traffic_is_kept() -> None:
    x, w = gr.placeholder(("n", 4)), gr.placeholder((4, 4))
    loss = through_products(lambda z: gr.exp(gr.exp(z) * 0.5), x, w)
    assert repeated([x, w], [loss, gr.grad(loss, x)]) == {}


def test_what_a_product_reads_backward_is_kept() -> None:
    x, w = gr.placeholder(("n", 4)), gr.placeholder((4, 4))
    loss = through_products(gr.relu, x, w)
    assert repeated([x, w], [loss, gr.grad(loss, w)]) == {}


def test_an_output_is_kept() -> None:
    x, w = gr.placeholder(("n", 4)), gr.placeholder((4, 4))
    a = gr.exp(x @ w)
    b = a + 3.0
    loss = ((gr.tanh(a) * b) @ w).sum()
    assert repeated([x, w], [loss, gr.grad(loss, x)]) == {"add": 1}
    assert repeated([x, w], [loss, gr.grad(loss, x), b]) == {}


def test_what_only_the_backward_graph_reads_is_not_doubled() -> None:
    x, w = gr.placeholder(("n", 4)), gr.placeholder((4, 4))
    a = gr.exp(x @ w)
    loss = ((gr.tanh(a) * (a + 3.0)) @ w).sum()
    assert repeated([x, w], [gr.grad(loss, x)]) == {}


def test_a_forward_graph_stays_as_it_is() -> None:
    x = gr.placeholder(("n", 4))
    graph = prepared([x], [gr.tanh(x + 1.0)])
    assert Recompute()(graph) is graph


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_keeps_two_arrays_and_gives_the_same_gradients(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = gr.placeholder((512, 64), dtype)
    w = gr.parameter(rng.normal(size=(64, 64)).astype(dtype))
    loss = (gr.gelu(x @ w, approximate="tanh") @ w).sum()
    outputs = [loss, *gr.grad(loss, [x, w])]
    point = rng.normal(size=(512, 64)).astype(dtype)
    stored = gr.compile([x], outputs, disable=["recompute"])
    again = gr.compile([x], outputs)
    array = point.nbytes
    assert stored.plan.least_bytes >= 5 * array
    assert again.plan.least_bytes <= 4 * array
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    for one, other, wanted in zip(stored(point), again(point), gr.evaluate(outputs, {x: point}), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
        np.testing.assert_allclose(other, wanted, rtol=1e-3, atol=tolerance * np.abs(wanted).max())
