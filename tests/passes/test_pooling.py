"""Pooling of maxima and what surrounds it: with which graphs, which values, gradients and kernels."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch.nn import functional

import graphc as gr
from graphc.ir.graph import Graph, Value
from graphc.passes.simplify import Simplify
from tests.passes.passing import NASTY, applied, check_gradients_kept, check_pass, graph_of, names

RNG = np.random.default_rng(3)
IMAGES = RNG.standard_normal((3, 4, 9, 8))
BIAS = RNG.standard_normal((4, 1, 1))


def pooled(x: Value, bias: Value) -> Value:
    return gr.max_pool2d(gr.relu(x + bias), 3, 2, 1)


def order(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes if node.op.name in ("relu", "max_pool")]


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: gr.max_pool2d(x, 2),
        lambda x: gr.max_pool2d(x, 3, 2, 1),
        lambda x: gr.max_pool2d(x, 2, 2, ceil_mode=True),
        lambda x: gr.max_pool2d(x, (1, 3), 1, dilation=2),
        lambda x: gr.adaptive_max_pool2d(x, (4, 3)),
    ],
)
def test_relu_comes_after(pool) -> None:
    nasty = RNG.choice(NASTY, (2, 3, 9, 10))
    for array in (IMAGES.astype(np.float32), nasty, -np.abs(IMAGES), np.round(IMAGES)):
        [text] = check_pass(lambda x: pool(gr.relu(x)), [array], Simplify())
        assert re.fullmatch(r"relu\(max_pool\(x, .*\)\.0\)", text)
        check_gradients_kept(lambda x: pool(gr.relu(x)), [array], Simplify())


def test_relu_stays_where_another_needs_it() -> None:
    def twice(x: Value) -> tuple[Value, Value]:
        y = gr.relu(x)
        return gr.max_pool2d(y, 2), y

    graph, _ = graph_of(twice, [IMAGES])
    assert order(applied(graph, Simplify())) == ["relu", "max_pool"]


def test_relu_stays_where_a_window_may_be_empty() -> None:
    """The largest of nothing is -inf, and relu would make 0 of it."""
    x = gr.placeholder((1, 1, 1), "float64")
    y = gr.max_pool1d(gr.relu(x), 2, 1, padding=1, dilation=2)
    assert order(applied(Graph.of((x,), (y,)), Simplify())) == ["relu", "max_pool"]
    assert gr.compile([x], y)(-np.ones((1, 1, 1))).tolist() == [[[-np.inf]]]


def test_relu_stays_where_a_derivative_is_taken_by_it() -> None:
    x = gr.placeholder(IMAGES.shape, "float64")
    y = gr.relu(x)
    graph = applied(Graph.of((x,), (gr.grad(gr.max_pool2d(y, 2).sum(), y),)), Simplify())
    assert order(graph) == ["relu", "max_pool"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [IMAGES.shape, ("batch", 4, 9, 8)])
def test_gradients_against_torch(dtype: str, shape: tuple[int | str, ...]) -> None:
    """On numbers with many ties, those of zeros too."""
    images, bias = np.round(IMAGES * 2).astype(dtype), np.round(BIAS).astype(dtype)
    x, b = gr.placeholder(shape, dtype), gr.placeholder(bias.shape, dtype)
    weights = RNG.standard_normal((4, 5, 4)).astype(dtype)
    outputs = [pooled(x, b), *gr.grad((pooled(x, b) * weights).sum(), [x, b])]
    found = gr.compile([x, b], outputs)(images, bias)
    tx, tb = (torch.tensor(array, requires_grad=True) for array in (images, bias))
    y = functional.max_pool2d(torch.relu(tx + tb), 3, 2, 1)
    (y * torch.tensor(weights)).sum().backward()
    for array, wanted in zip(found, (y, tx.grad, tb.grad), strict=True):
        np.testing.assert_allclose(array, wanted.detach().numpy(), 1e-5, 1e-5)


def test_the_gradient_of_a_bias_is_summed_up_over_windows() -> None:
    x, b = gr.placeholder(IMAGES.shape, "float64"), gr.placeholder(BIAS.shape, "float64")
    slope = gr.grad((pooled(x, b) ** 2).sum(), b)
    function = gr.compile([x, b], slope)
    assert "max_pool_grad" not in names(function.graph)
    np.testing.assert_allclose(function(IMAGES, BIAS), gr.evaluate(slope, {x: IMAGES, b: BIAS}), 1e-12, 1e-12)


def test_a_sum_over_some_pooled_axes_stays() -> None:
    x = gr.placeholder(IMAGES.shape, "float64")
    slope = gr.grad((gr.max_pool2d(x, 2) ** 2).sum(), x).sum(2)
    function = gr.compile([x], slope)
    assert "max_pool_grad" in names(function.graph)
    np.testing.assert_allclose(function(IMAGES), gr.evaluate(slope, {x: IMAGES}), 1e-12, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 1), (7, 3), ((1, 9), 0)])
def test_positions_are_found_only_where_they_are_used(dtype: str, kernel: int, padding: int) -> None:
    x = gr.placeholder(("n", 2, 11, 12), dtype)
    y = gr.max_pool2d(x, kernel, 2, padding)
    array = RNG.choice(NASTY, (3, 2, 11, 12)).astype(dtype)
    alone = gr.compile([x], y)
    np.testing.assert_array_equal(alone(array), gr.evaluate(y, {x: array}))
    assert not any("_i32_" in source for source in alone.sources().values())
    slope = gr.grad(y.sum(), x)
    both = gr.compile([x], [y, slope])
    assert any("_i32_" in source for source in both.sources().values())
    np.testing.assert_array_equal(both(array)[0], alone(array))
